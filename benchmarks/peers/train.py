#!/usr/bin/env python3
"""Trains the same GPT-2 (6 layers x 512, vocabulary 50257, 45M parameters) with ds_train and with DeepSpeed in turn.

  benchmarks/peers/train.py [--stages 0 1 2] [--pairs 3] [--starts 5] [--json]

Two ranks of one thread, sequence 256, micro-batch 2, fp32: tokens a second, seconds from exec of `deepspeed` to the
first forward, and peak resident memory of both ranks. Both sides read one model folder and one token file, and their
losses must agree, else the comparison is refused. Needs ./dev build; makes DeepSpeed's environment itself (env.sh).
"""
import argparse
import json
import os
import pathlib
import random
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = pathlib.Path(os.environ.get("PEERS_DIR", pathlib.Path.home() / ".cache/deepspeed-peers"))
RANKS, SEQ_LENGTH, MICRO_BATCH, VOCAB = 2, 256, 2, 50257
MODEL = dict(model_type="gpt2", n_layer=6, n_embd=512, n_head=8, n_positions=SEQ_LENGTH, vocab_size=VOCAB,
             resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
LOSS_TOLERANCE = 1e-4  # relative, fp32


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--pairs", type=int, default=3, help="runs of each side and stage; 0: none")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--warmup", type=int, default=3, help="first steps of a run that do not count")
    parser.add_argument("--starts", type=int, default=5, help="warm starts of each side, and one more that is discarded; 0: none")
    parser.add_argument("--accumulation", type=int, default=1)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    return parser.parse_args()


def say(text):
    print(text, file=sys.stderr, flush=True)


def check_call(command, env, folder):
    """Runs a command, and shows the end of what it printed if it fails."""
    with tempfile.TemporaryFile("w+") as out:
        done = subprocess.run([str(c) for c in command], cwd=folder, env=env, stdout=out, stderr=subprocess.STDOUT)
        out.seek(0)
        if done.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))}\nexited with {done.returncode}:\n{out.read()[-4000:]}")


def make_inputs(venv):
    """The seeded model folder and the token file, kept for the next time."""
    folder = CACHE / "train45m"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model/model.safetensors").exists():
        say("making the model folder")
        check_call([venv / "bin/python", HERE / "oracle_train.py", "--init-model", folder / "model", "--seed", 1,
                    "--config", json.dumps(MODEL)], dict(os.environ), folder)
    # A skewed distribution, as text has: uniform ids would leave nothing to learn.
    draw = random.Random(1)
    tokens = [min(int(draw.paretovariate(0.4)) - 1, VOCAB - 1) for _ in range(200 * SEQ_LENGTH)]
    (folder / "tokens.bin").write_bytes(struct.pack(f"<{len(tokens)}H", *tokens))
    return folder


def ds_config(stage, accumulation):
    return {"train_micro_batch_size_per_gpu": MICRO_BATCH, "gradient_accumulation_steps": accumulation,
            "steps_per_print": 100000, "gradient_clipping": 1.0, "zero_optimization": {"stage": stage},
            "optimizer": {"type": "AdamW", "params": {"lr": 3e-4, "betas": [0.9, 0.95], "weight_decay": 0.1}}}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Side:
    def __init__(self, name, launcher, program, extra, env):
        self.name, self.launcher, self.program, self.extra = name, launcher, program, extra
        self.env = dict(os.environ, OMP_NUM_THREADS="1", **env)

    def run(self, inputs, stage, steps, accumulation):
        """The rows of the log of one run."""
        with tempfile.TemporaryDirectory() as work:
            work = pathlib.Path(work)
            (work / "ds.json").write_text(json.dumps(ds_config(stage, accumulation)))
            command = [self.launcher, "--num_accelerators", RANKS, "--master_port", free_port(), self.program,
                       "--model", inputs / "model", "--data", inputs / "tokens.bin", "--seq-length", SEQ_LENGTH,
                       "--steps", steps, "--deepspeed_config", work / "ds.json", "--log-jsonl", work / "log.jsonl",
                       *self.extra]
            check_call(command, dict(self.env, PEER_T0=repr(time.time())), work)
            rows = [json.loads(line) for line in (work / "log.jsonl").read_text().splitlines()]
        if len(rows) != steps:
            sys.exit(f"{self.name} logged {len(rows)} steps of {steps}")
        return rows


def both_sides(options, venv):
    ours = Side("ds_train", options.bin / "deepspeed", options.bin / "ds_train", ["--no-shuffle", "--quiet"], {})
    theirs = Side("DeepSpeed", venv / "bin/deepspeed", HERE / "oracle_train.py", [],
                  {"DS_ACCELERATOR": "cpu", "PATH": f"{venv / 'bin'}:{os.environ['PATH']}"})
    return ours, theirs


def in_turn(sides, number, run):
    """Results of both sides, each going first every other time."""
    order = sides if number % 2 == 0 else sides[::-1]
    results = {side.name: run(side) for side in order}
    return [results[side.name] for side in sides]


def check_same_work(ours, theirs, stage):
    worst = max(abs(a["loss"] - b["loss"]) / abs(b["loss"]) for a, b in zip(ours, theirs))
    if worst > LOSS_TOLERANCE or not worst == worst:
        sys.exit(f"stage {stage}: the losses differ by {worst:.2e} relative, more than {LOSS_TOLERANCE}: not the same work")
    return worst


def peak_bytes(rows):
    return max(row["rss_bytes_all_ranks"] for row in rows if "rss_bytes_all_ranks" in row)


def row_of(name, unit, ours, theirs, higher_is_better):
    ratios = [a / b if higher_is_better else b / a for a, b in zip(ours, theirs)]
    return dict(name=name, unit=unit, ours=statistics.median(ours), rival=statistics.median(theirs),
                rival_name="DeepSpeed 0.19.8", ratio=statistics.median(ratios), limit=None, cpu=cpu_name())


def cpu_name():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def measure_stage(options, sides, inputs, stage):
    speeds, peaks = ([], []), ([], [])
    for pair in range(options.pairs):
        logs = in_turn(sides, pair, lambda side: side.run(inputs, stage, options.steps, options.accumulation))
        worst = check_same_work(*logs, stage)
        for side, rows in enumerate(logs):
            speeds[side].append(statistics.median(row["tokens_per_s"] for row in rows[options.warmup:]))
            peaks[side].append(peak_bytes(rows) / 2**20)
        say(f"stage {stage}, pair {pair + 1}: {speeds[0][-1]:.0f} and {speeds[1][-1]:.0f} tokens/s, "
            f"{peaks[0][-1]:.0f} and {peaks[1][-1]:.0f} MiB, losses within {worst:.1e}")
    yield row_of(f"train_fp32_stage{stage}", "tokens/s", *speeds, higher_is_better=True)
    yield row_of(f"train_fp32_stage{stage}_peak_rss", "MiB", *peaks, higher_is_better=False)


def measure_starts(options, sides, inputs):
    starts = ([], [])
    for number in range(options.starts + 1):
        logs = in_turn(sides, number, lambda side: side.run(inputs, options.stages[-1], 1, options.accumulation))
        if number > 0:  # the first warms the page cache
            for side, rows in enumerate(logs):
                starts[side].append(rows[0]["start_s"])
            say(f"start {number}: {starts[0][-1]:.2f} and {starts[1][-1]:.2f} s")
    yield row_of("train_start", "s", *starts, higher_is_better=False)


def show(row, as_json):
    if as_json:
        print(json.dumps(row), flush=True)
    else:
        print(f"{row['name']:<28}{row['ours']:>12.2f}{row['rival']:>12.2f} {row['unit']:<9}{row['ratio']:>7.2f}x", flush=True)


def main():
    options = parse()
    for program in ("deepspeed", "ds_train"):
        if not (options.bin / program).exists():
            sys.exit(f"{options.bin / program} does not exist: run ./dev build, or give --bin")
    if options.warmup >= options.steps:
        sys.exit("--warmup must be less than --steps")
    venv = pathlib.Path(subprocess.run([str(HERE / "env.sh"), "ds"], check=True, capture_output=True, text=True).stdout.split()[-1])
    inputs, sides = make_inputs(venv), both_sides(options, venv)
    if not options.json:
        print(f"{'':<28}{'ours':>12}{'DeepSpeed':>12} {'':<9}{'ratio':>8}  (above 1: ours better; {cpu_name()})")
    if options.starts:
        for row in measure_starts(options, sides, inputs):
            show(row, options.json)
    for stage in options.stages if options.pairs else []:
        for row in measure_stage(options, sides, inputs, stage):
            show(row, options.json)


if __name__ == "__main__":
    main()
