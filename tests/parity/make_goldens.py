"""Makes the goldens of this folder with the real DeepSpeed; see README.md.

  $(benchmarks/peers/env.sh ds)/bin/python tests/parity/make_goldens.py [--only NUMBER ...]
"""
import argparse
import importlib.metadata
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile

import torch

from cover import FACTORS, covering_array
import make_logits
import make_models

HERE = pathlib.Path(__file__).resolve().parent
GOLDENS = HERE / "goldens"
STEPS = 50
SEQ_LENGTH = 48
LEARNING_RATE_OFF = 1.02
LEARNING_RATES = {"lr", "warmup_min_lr", "warmup_max_lr", "cycle_min_lr", "cycle_max_lr", "lr_range_test_min_lr"}
TOLERANCE = {
    "fp32": {"loss_relative": 1e-4, "loss_absolute": None, "lr_absolute": 1e-9, "grad_norm_relative": 1e-3},
    # the tighter of the two holds
    "bf16": {"loss_relative": 5e-3, "loss_absolute": 2e-2, "lr_absolute": 1e-9, "grad_norm_relative": 1e-3},
}
# fp32 parameters whose forward runs under torch_autocast; beside the covering runs, which have no such precision.
AUTOCAST = "bf16-autocast"
AUTOCAST_RUNS = [
    dict(arch="gpt2", stage=0, ranks=2, accumulation=1, schedule="WarmupCosineLR", precision=AUTOCAST),
    dict(arch="llama", stage=1, ranks=2, accumulation=2, schedule="WarmupDecayLR", precision=AUTOCAST),
    dict(arch="gpt2", stage=2, ranks=2, accumulation=2, schedule="OneCycle", precision=AUTOCAST),
]
# Sharded parameters; beside the covering runs as well. `live` "few": released at once and gathered again for backward, little of
# it ahead; "all": DeepSpeed's defaults, by which everything is gathered ahead and kept until backward is over.
STAGE_3_RUNS = [
    dict(arch="gpt2", stage=3, ranks=2, accumulation=2, schedule="OneCycle", precision="bf16", live="all"),
    dict(arch="gpt2", stage=3, ranks=3, accumulation=1, schedule="WarmupDecayLR", precision="fp32", live="few"),
    dict(arch="llama", stage=3, ranks=2, accumulation=2, schedule="WarmupCosineLR", precision="fp32", live="few"),
    dict(arch="llama", stage=3, ranks=3, accumulation=1, schedule="WarmupLR", precision="bf16", live="all",
         reduce_scatter=False),
    dict(arch="gpt2", stage=3, ranks=3, accumulation=3, schedule="WarmupLR", precision="fp32", live="all"),
    dict(arch="llama", stage=3, ranks=2, accumulation=1, schedule="WarmupCosineLR", precision="bf16", live="few"),
]
STAGE_3 = {  # most parameters of these models are smaller than the default threshold and would stay whole
    "all": {"stage3_param_persistence_threshold": 30},
    "few": {"stage3_param_persistence_threshold": 30, "stage3_max_live_parameters": 9000, "stage3_max_reuse_distance": 0,
            "stage3_prefetch_bucket_size": 5000},
}
# Optimizer offload, whose steps are those of DeepSpeedCPUAdam, DeepSpeedCPUAdagrad and DeepSpeedCPULion. `ratio`: a share of the
# elements, cut by sub-groups, is stepped by torch's AdamW, which in DeepSpeed keeps the rate it began with: a constant one.
OFFLOAD_RUNS = [
    dict(arch="gpt2", stage=2, ranks=2, accumulation=2, schedule="WarmupCosineLR", precision="fp32", offload="cpu",
         optimizer="Adagrad"),
    dict(arch="llama", stage=3, ranks=3, accumulation=1, schedule="WarmupLR", precision="bf16", live="all", offload="cpu",
         optimizer="AdamW"),
    dict(arch="gpt2", stage=3, ranks=2, accumulation=1, schedule="WarmupDecayLR", precision="fp32", live="few", offload="cpu",
         optimizer="Lion"),
    dict(arch="llama", stage=2, ranks=3, accumulation=2, schedule="WarmupCosineLR", precision="bf16", offload="cpu",
         optimizer="Lion"),
    dict(arch="gpt2", stage=3, ranks=3, accumulation=2, schedule="WarmupDecayLR", precision="fp32", live="few", offload="cpu",
         optimizer="Adagrad"),
    dict(arch="llama", stage=2, ranks=2, accumulation=1, schedule="OneCycle", precision="fp32", offload="cpu",
         optimizer="Adam"),
    dict(arch="llama", stage=3, ranks=2, accumulation=2, schedule="WarmupLR", precision="fp32", live="all", offload="cpu",
         optimizer="AdamW", ratio=0.3),
]
# Of Adam's peak. Lion's steps are signs, all of full size; Adagrad's shrink as its sums grow.
# In bf16 Adagrad is too sensitive to rounding at rates at which a wrong one still shows.
OPTIMIZER_FACTOR = {("Adagrad", "fp32"): 6.0, ("Lion", "fp32"): 0.3, ("Lion", "bf16"): 0.7}
VERSIONS = {name: importlib.metadata.version(name) for name in ("deepspeed", "torch", "transformers", "safetensors", "numpy")}


# Gentle: without spikes rounding noise stays below the tolerance, and a steady fall still shows a wrong learning rate.
PEAK_LEARNING_RATE = {("gpt2", "fp32"): 1.5e-3, ("llama", "fp32"): 1.2e-3, ("gpt2", "bf16"): 1e-3, ("llama", "bf16"): 8e-4}
# With few tokens a step the noise of rounding to bf16 alone moves the gradient norm by its tolerance.
MICRO_BATCH_FACTOR = {"fp32": 1, "bf16": 3}
# What a run under autocast shares with bf16: rates, batch and tolerance.
KIND = {"fp32": "fp32", "bf16": "bf16", AUTOCAST: "bf16"}
# A peak that lasts needs less.
PEAK_FACTOR = {"WarmupLR": 0.5, "WarmupDecayLR": 0.85, "WarmupCosineLR": 0.95}


def scheduler(kind, variant, lr):
    """A schedule whose every phase lies within the 50 steps; `variant` picks among its options."""
    curve = ["log", "linear"][variant % 2]
    params = {
        "WarmupLR": dict(warmup_min_lr=[0.0, lr / 50][variant % 2], warmup_max_lr=lr, warmup_num_steps=20, warmup_type=curve),
        "WarmupDecayLR": dict(total_num_steps=60, warmup_min_lr=lr / 50, warmup_max_lr=lr, warmup_num_steps=12,
                              warmup_type=curve),
        "WarmupCosineLR": dict(total_num_steps=48, warmup_min_ratio=0.1, warmup_num_steps=14, cos_min_ratio=0.05,
                               warmup_type=curve),
        "OneCycle": [dict(cycle_min_lr=lr / 8, cycle_max_lr=lr, cycle_first_step_size=15, cycle_second_step_size=22,
                          decay_step_size=5, decay_lr_rate=0.5, decay_mom_rate=0.05),
                     dict(cycle_min_lr=lr / 8, cycle_max_lr=lr, cycle_first_step_size=20, cycle_first_stair_count=5,
                          cycle_momentum=False)][variant % 2],
        "LRRangeTest": dict(lr_range_test_min_lr=lr / 8, lr_range_test_step_size=8, lr_range_test_step_rate=1.5,
                            lr_range_test_staircase=variant % 2 == 1),
    }
    return {"type": kind, "params": params[kind]}


def offloaded_optimizer(kind, lr):
    params = {"Adam": {"weight_decay": 0.01, "adam_w_mode": False}, "AdamW": {"betas": [0.9, 0.95], "weight_decay": 0.1},
              "Adagrad": {"weight_decay": 0.01}, "Lion": {"betas": [0.9, 0.98], "weight_decay": 0.1}}
    return {"type": kind, "params": {"lr": lr, **params[kind]}}


def optimizer(variant, lr):
    """DeepSpeed's "Adam" decouples weight decay unless adam_w_mode is false."""
    return [
        {"type": "Adam", "params": {"lr": lr, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1}},
        {"type": "AdamW", "params": {"lr": lr, "betas": [0.8, 0.99], "eps": 1e-7, "weight_decay": 0.01}},
        {"type": "Adam", "params": {"lr": lr, "weight_decay": 0.01, "adam_w_mode": False}},
    ][variant % 3]


def ds_config(run, number):
    kind = KIND[run["precision"]]
    lr = PEAK_LEARNING_RATE[run["arch"], kind] * PEAK_FACTOR.get(run["schedule"], 1.0)
    lr *= OPTIMIZER_FACTOR.get((run.get("optimizer"), kind), 1.0)
    config = {
        "train_micro_batch_size_per_gpu": ([4, 3, 2][run["accumulation"] - 1] + number % 2) * MICRO_BATCH_FACTOR[kind],
        "gradient_accumulation_steps": run["accumulation"],
        "steps_per_print": 1000,
        "optimizer": offloaded_optimizer(run["optimizer"], lr) if "offload" in run else optimizer(number, lr),
        "scheduler": scheduler(run["schedule"], number, lr),
        "zero_optimization": {"stage": run["stage"]},
    }
    clipping = [None, 0.5, 0.0][number % 3]  # absent means DeepSpeed's default
    if clipping is not None:
        config["gradient_clipping"] = clipping
    if number % 2 and run["stage"]:
        config["zero_optimization"]["reduce_bucket_size"] = 7000  # several buckets a step
    if run["stage"] == 3:
        config["zero_optimization"] |= STAGE_3[run["live"]]
    if "offload" in run:
        config["zero_optimization"]["offload_optimizer"] = {"device": run["offload"]}
    if "ratio" in run:
        config["zero_optimization"] |= {"sub_group_size": 5000}
        config["zero_optimization"]["offload_optimizer"]["ratio"] = run["ratio"]
        config["scheduler"]["params"]["warmup_min_lr"] = config["scheduler"]["params"]["warmup_max_lr"]
    if "reduce_scatter" in run:
        config["zero_optimization"]["reduce_scatter"] = run["reduce_scatter"]
    if run["precision"] == "bf16":
        config["bf16"] = {"enabled": True}
    if run["precision"] == AUTOCAST:
        config["torch_autocast"] = {"enabled": True, "dtype": "bf16"}
    return config


def scale_learning_rates(config, factor):
    def scaled(value, key=None):
        if isinstance(value, dict):
            return {k: scaled(v, k) for k, v in value.items()}
        return value * factor if key in LEARNING_RATES else value
    return scaled(config)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run_oracle(jobs, work):
    """Fills in the rows of all jobs (model, config, ranks), one set of ranks after the other."""
    venv = pathlib.Path(sys.prefix) / "bin"
    env = dict(os.environ, DS_ACCELERATOR="cpu", OMP_NUM_THREADS="1", PATH=f"{venv}:{os.environ['PATH']}")
    for number, job in enumerate(jobs):
        job["config_path"], job["log"] = work / f"{number}.ds.json", work / f"{number}.jsonl"
        job["config_path"].write_text(json.dumps(job["config"]))
    for ranks in sorted({job["ranks"] for job in jobs}):
        batch = [["--model", str(job["model"]), "--data", str(GOLDENS / "data/text.bin"), "--seq-length", str(SEQ_LENGTH),
                  "--steps", str(STEPS), "--deepspeed_config", str(job["config_path"]), "--log-jsonl", str(job["log"])]
                 for job in jobs if job["ranks"] == ranks]
        (work / "jobs.json").write_text(json.dumps(batch))
        command = ["deepspeed", "--num_accelerators", str(ranks), "--master_port", str(free_port()),
                   str(HERE / "oracle_batch.py"), str(work / "jobs.json")]
        with open(work / "oracle.log", "w") as log:
            done = subprocess.run(command, cwd=work, env=env, stdout=log, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed:\n{(work / 'oracle.log').read_text()[-4000:]}")
    for job in jobs:
        rows = [json.loads(line) for line in job["log"].read_text().splitlines()]
        job["rows"] = [{key: row[key] for key in ("step", "loss", "lr", "grad_norm")} for row in rows]


def worst(rows, others, tolerance):
    """Largest deviation of two curves in units of the tolerance: above 1 a comparison fails."""
    def ratio(a, b, relative, absolute=None):
        allowed = min(x for x in (relative and relative * abs(a), absolute) if x is not None)
        return abs(a - b) / allowed
    loss = max(ratio(a["loss"], b["loss"], tolerance["loss_relative"], tolerance["loss_absolute"]) for a, b in zip(rows, others))
    norms = [ratio(a["grad_norm"], b["grad_norm"], tolerance["grad_norm_relative"]) for a, b in zip(rows, others)
             if a["grad_norm"] is not None]
    return {"loss": round(loss, 3), "grad_norm": round(max(norms), 3) if norms else None}


def run_name(number, run):
    return "-".join([f"{number:02}", run["arch"], f"z{run['stage']}", f"r{run['ranks']}", f"a{run['accumulation']}",
                     run["schedule"].lower(), run["precision"]])


def jobs_of(number, run, eager):
    """The golden itself, one with a wrong learning rate and one whose rounding differs."""
    config, model = ds_config(run, number), GOLDENS / "models" / run["arch"]
    jobs = {"golden": dict(model=model, config=config),
            "off": dict(model=model, config=scale_learning_rates(config, LEARNING_RATE_OFF)),
            "noise": dict(model=eager / run["arch"], config=config)}
    for job in jobs.values():
        job["ranks"] = run["ranks"]
    return jobs


def store(number, run, jobs, target):
    """Writes a run's files and returns its entry in the manifest."""
    name, tolerance, rows = run_name(number, run), TOLERANCE[KIND[run["precision"]]], jobs["golden"]["rows"]
    folder = target / "runs" / name
    folder.mkdir(parents=True)
    (folder / "ds_config.json").write_text(json.dumps(jobs["golden"]["config"], indent=2) + "\n")
    (folder / "expected.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "name": name, "factors": run, "model": f"models/{run['arch']}", "world_size": run["ranks"],
        "config": f"runs/{name}/ds_config.json", "seq_length": SEQ_LENGTH, "steps": STEPS, "data": "data/text.bin",
        "data_dtype": "u16", "expected": f"runs/{name}/expected.jsonl", "tolerance": tolerance,
        "fall_nats": round(rows[0]["loss"] - rows[-1]["loss"], 3),
        "learning_rate_2_percent_off": worst(rows, jobs["off"]["rows"], tolerance),
        "eager_attention": worst(rows, jobs["noise"]["rows"], tolerance),
    }


def check(entry):
    if entry["fall_nats"] < 1:
        print(f"  WARNING {entry['name']} falls by {entry['fall_nats']} nats only")
    if entry["learning_rate_2_percent_off"]["loss"] <= 1:
        print(f"  WARNING {entry['name']} does not notice a learning rate 2 % off")
    if max(value or 0 for value in entry["eager_attention"].values()) > 0.6:
        print(f"  WARNING {entry['name']}: rounding noise reaches {entry['eager_attention']} of the tolerance")


def make_inputs():
    (GOLDENS / "data").mkdir(parents=True, exist_ok=True)
    make_models.make_data(GOLDENS / "data/text.bin")
    for arch in make_models.ARCHS:
        make_models.make_model(GOLDENS / "models" / arch, arch, std=0.03)
        make_sharp(arch)


def make_sharp(arch):
    """A model and its logits. Of ten prompts nine at least have continuations without a near tie; the first seed that does it."""
    options = dict(dtype=torch.bfloat16) if arch in make_models.FAMILIES else {}
    if arch == "llama":
        options["max_shard_size"] = "150KB"
    sharp = GOLDENS / "models" / f"{arch}-sharp"
    for seed in range(make_models.SEED, make_models.SEED + 20):
        shutil.rmtree(sharp, ignore_errors=True)
        make_models.make_model(sharp, arch, std=0.3, seed=seed, **options)
        if arch == "gpt2":  # its training goldens have 64, too few for 64 tokens after a prompt
            make_models.add_positions(sharp, 96)
        untied = make_logits.make_logits(sharp, GOLDENS / "logits" / f"{arch}.safetensors", VERSIONS)
        if untied >= 0.9:
            print(f"{arch}: seed {seed}, {untied:.0%} of the prompts without a near tie", flush=True)
            return
    sys.exit(f"{arch}: near ties under every seed")


def make_families(only=()):
    """Models and logits of the families without training goldens."""
    for arch in only or make_models.FAMILIES:
        make_sharp(arch)


def logits_entries():
    return [{"model": f"models/{arch}-sharp", "expected": f"logits/{arch}.safetensors"}
            for arch in (*make_models.ARCHS, *make_models.FAMILIES)]


def write_manifest(manifest):
    (GOLDENS / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", type=int, help="try these runs by number and print what they give; store nothing")
    parser.add_argument("--store", action="store_true", help="with --only: replace these runs and keep the others")
    parser.add_argument("--keep-inputs", action="store_true", help="models, data and logits stay as they are")
    parser.add_argument("--families", nargs="*", metavar="NAME",
                        help="only the logits of the families without training goldens, or of those named")
    options = parser.parse_args()
    if options.families is not None:
        make_families(options.families)
        write_manifest(json.loads((GOLDENS / "manifest.json").read_text()) | {"logits": logits_entries()})
        return
    if not options.keep_inputs:
        make_inputs()
        make_families()
    numbered = enumerate([*covering_array(), *AUTOCAST_RUNS, *STAGE_3_RUNS, *OFFLOAD_RUNS], 1)
    runs = [(n, run) for n, run in numbered if not options.only or n in options.only]
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        for arch in make_models.ARCHS:
            make_models.eager_copy(GOLDENS / "models" / arch, work / "eager" / arch)
        jobs = {number: jobs_of(number, run, work / "eager") for number, run in runs}
        run_oracle([job for group in jobs.values() for job in group.values()], work)
        target = GOLDENS if options.store or not options.only else work
        for number, run in runs:
            shutil.rmtree(target / "runs" / run_name(number, run), ignore_errors=True)
        entries = [store(number, run, jobs[number], target) for number, run in runs]
    for entry in entries:
        print(entry["name"], entry["fall_nats"], entry["learning_rate_2_percent_off"], entry["eager_attention"])
        check(entry)
    if target == GOLDENS:
        if options.only:
            made = {entry["name"]: entry for entry in entries}
            before = {entry["name"]: entry for entry in json.loads((GOLDENS / "manifest.json").read_text())["runs"]}
            entries = [entry for _, entry in sorted((before | made).items())]
        manifest = {"made_with": VERSIONS, "script": "tests/parity/make_goldens.py", "factors": FACTORS,
                    "logits": logits_entries(),
                    "runs": entries}
        write_manifest(manifest)


if __name__ == "__main__":
    main()
