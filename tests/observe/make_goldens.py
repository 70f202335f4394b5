"""Makes the goldens of this folder with the real DeepSpeed and TensorBoard's own writer.

  VENV/bin/python tests/observe/make_goldens.py [RUN ...]      default: all

VENV is `benchmarks/peers/env.sh ds` with the package tensorboard added. One folder a run: ds_config.json, the CSV files,
events.json (what TensorBoard's reader finds in the event file), lines.txt (what the engine said). `records.tfevents` is
written by TensorBoard's writer from fixed times.
"""
import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest.mock

from tensorboard.summary.writer.event_file_writer import EventFileWriter
from torch.utils.tensorboard import SummaryWriter

import read_events

HERE = pathlib.Path(__file__).resolve().parent
GOLDENS = HERE / "goldens"
FILES = {"enabled": True, "output_path": "", "job_name": "job"}
ADAM = {"type": "Adam", "params": {"lr": 1e-3, "torch_adam": True}}
RUNS = {
    "timers": dict(ranks=2, steps=6, config={
        "train_micro_batch_size_per_gpu": 3, "gradient_accumulation_steps": 2, "steps_per_print": 2,
        "wall_clock_breakdown": True, "optimizer": ADAM, "zero_optimization": {"stage": 1},
        "scheduler": {"type": "WarmupLR", "params": {"warmup_min_lr": 0.0, "warmup_max_lr": 1e-3, "warmup_num_steps": 4}}}),
    "fp16": dict(ranks=1, steps=16, config={
        "train_micro_batch_size_per_gpu": 1, "steps_per_print": 4, "gradient_clipping": 0.0,
        "optimizer": {"type": "Adam", "params": {"lr": 0.5, "betas": [0.8, 0.9], "torch_adam": True}}, "zero_optimization": {"stage": 2},
        "fp16": {"enabled": True, "initial_scale_power": 19, "loss_scale_window": 3, "hysteresis": 1}}),
    "fp16-grows": dict(ranks=1, steps=6, config={
        "train_micro_batch_size_per_gpu": 1, "gradient_clipping": 0.0, "optimizer": ADAM,
        "fp16": {"enabled": True, "initial_scale_power": 10, "loss_scale_window": 2}}),
    "cycle": dict(ranks=1, steps=8, config={
        "train_micro_batch_size_per_gpu": 1, "steps_per_print": 1, "optimizer": ADAM,
        "timers": {"throughput": {"enabled": False}},
        "scheduler": {"type": "OneCycle", "params": {"cycle_min_lr": 1e-5, "cycle_max_lr": 1e-2,
                                                      "cycle_first_step_size": 3, "cycle_momentum": True}}}),
}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run_ranks(ranks, jobs):
    """What rank 0 of W processes printed, run by run."""
    port = str(free_port())
    commands = []
    for rank in range(ranks):
        env = dict(os.environ, DS_ACCELERATOR="cpu", OMP_NUM_THREADS="1", MASTER_ADDR="127.0.0.1", MASTER_PORT=port,
                   RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(ranks), LOCAL_SIZE=str(ranks))
        commands.append(subprocess.Popen([sys.executable, str(HERE / "oracle.py"), str(jobs)], env=env, stdout=subprocess.PIPE,
                                         stderr=subprocess.STDOUT, text=True))
    said = [command.communicate()[0] for command in commands]
    for command, text in zip(commands, said):
        if command.returncode != 0:
            raise RuntimeError(text[-4000:])
    return said[0].split("\nRUN ")[1:]


def make_runs(ranks, only):
    runs = {name: options for name, options in RUNS.items() if options["ranks"] == ranks and name in only}
    with tempfile.TemporaryDirectory() as work:
        work, jobs = pathlib.Path(work), []
        for name, options in runs.items():
            target = GOLDENS / name
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            (work / name).mkdir()
            config = dict(options["config"], csv_monitor=dict(FILES, output_path="csv"), tensorboard=dict(FILES, output_path="tb"))
            (target / "ds_config.json").write_text(json.dumps(config, indent=2) + "\n")
            jobs.append({"folder": str(work / name), "steps": options["steps"], "config": dict(config, log_level="info")})
        (work / "jobs.json").write_text(json.dumps(jobs))
        for name, said in zip(runs, run_ranks(ranks, work / "jobs.json"), strict=True):
            store(work / name, GOLDENS / name, said)


def store(source, target, said):
    for path in sorted((source / "csv/job").iterdir()):
        shutil.copy(path, target)
    (target / "events.json").write_text(json.dumps(read_events.read(source / "tb/job"), indent=1) + "\n")
    pattern = re.compile(r"(step=\d+, skipped.*|epoch=\d+/.*|time \(ms\).*)")
    found = filter(None, map(pattern.search, said.splitlines()))
    (target / "lines.txt").write_text("".join(match.group(1) + "\n" for match in found))


def make_records():
    """An event file whose every byte is known: times, steps and values are given."""
    with tempfile.TemporaryDirectory() as work:
        with unittest.mock.patch("time.time", lambda: 1700000000.25):
            writer = SummaryWriter(work)
            for step, (tag, value) in enumerate([("Train/Samples/lr", 1e-3), ("Train/Samples/loss_scale", 65536.0), ("zero", 0.0),
                                                 ("negative", -1.5), ("infinite", float("inf")), ("x" * 200, 1 / 3)]):
                writer.add_scalar(tag, value, step * 100_000, walltime=1700000001.5 + step)
            writer.close()
        (file,) = pathlib.Path(work).iterdir()
        shutil.copy(file, GOLDENS / "records.tfevents")


def main():
    only = sys.argv[1:] or list(RUNS)
    for ranks in sorted({RUNS[name]["ranks"] for name in only}):
        make_runs(ranks, only)
    make_records()
    versions = {name: importlib.metadata.version(name) for name in ("deepspeed", "torch", "tensorboard")}
    (GOLDENS / "versions.json").write_text(json.dumps(versions) + "\n")


if __name__ == "__main__":
    main()
