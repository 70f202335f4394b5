#!/usr/bin/env python3
"""Trains the GPT-2 of train.py (45M parameters, sequence 256) on one GPU with ds_train, through `deepspeed`, and with eager PyTorch
in turn: tokens a second, most device memory, and how far the losses lie apart.

  benchmarks/peers/train_gpu.py [--bin build/cuda/bin] [--micro-batches 8 32] [--precisions bf16 fp32] [--stages 0 3] [--offload] [--steps 30]

bf16 is 16-bit parameters with fp32 masters for ours and autocast over fp32 parameters for PyTorch, which has no optimizer for the
former; its optimizer is the fused AdamW. --offload adds ours at stage 2 with the optimizer in page-locked memory beside the GPU.
Needs ./dev build cuda, and a python3 with PyTorch for CUDA and transformers.
"""
import argparse
import json
import os
import pathlib
import random
import statistics
import struct
import subprocess
import sys
import tempfile

from train import HERE, MODEL, ROOT, SEQ_LENGTH, VOCAB

LOSS_TOLERANCE = {"fp32": 1e-3, "bf16": 2e-2}  # relative; PyTorch multiplies autocast's fp32 parameters rounded anew each step


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=lambda path: pathlib.Path(path).resolve(), default=ROOT / "build/cuda/bin")
    parser.add_argument("--micro-batches", nargs="+", type=int, default=[8, 32])
    parser.add_argument("--precisions", nargs="+", choices=["fp32", "bf16"], default=["bf16"])
    parser.add_argument("--stages", nargs="+", type=int, default=[0])
    parser.add_argument("--offload", action="store_true")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--warmup", type=int, default=10, help="first steps that do not count")
    return parser.parse_args()


def run(command, env, folder):
    done = subprocess.run([str(c) for c in command], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nexited with {done.returncode}:\n{done.stdout[-4000:]}")


def make_inputs(folder):
    run([sys.executable, HERE / "oracle_train.py", "--init-model", folder / "model", "--seed", 1, "--config", json.dumps(MODEL)],
        dict(os.environ), folder)
    draw = random.Random(1)
    tokens = [min(int(draw.paretovariate(0.4)) - 1, VOCAB - 1) for _ in range(400 * SEQ_LENGTH)]
    (folder / "tokens.bin").write_bytes(struct.pack(f"<{len(tokens)}H", *tokens))


def write_config(folder, precision, stage, micro_batch, offload):
    zero = {"stage": stage, **({"offload_optimizer": {"device": "cpu"}} if offload else {})}
    config = {"train_micro_batch_size_per_gpu": micro_batch, "gradient_accumulation_steps": 1, "steps_per_print": 100000,
              "gradient_clipping": 1.0, "zero_optimization": zero, "bf16": {"enabled": precision == "bf16"},
              "optimizer": {"type": "AdamW", "params": {"lr": 3e-4, "betas": [0.9, 0.95], "weight_decay": 0.1}}}
    (folder / "ds.json").write_text(json.dumps(config))


def measure(options, folder, side):
    """One run's tokens a second (median of its steps), most device memory, and losses."""
    log = folder / f"{side}.jsonl"
    shared = ["--model", folder / "model", "--data", folder / "tokens.bin", "--seq-length", SEQ_LENGTH, "--steps", options.steps,
              "--deepspeed_config", folder / "ds.json", "--log-jsonl", log]
    env = dict(os.environ, DS_ACCELERATOR="cuda")
    if side == "ours":
        run([options.bin / "deepspeed", "--num_accelerators", 1, options.bin / "ds_train", *shared, "--no-shuffle", "--quiet"], env, folder)
    else:
        run([sys.executable, HERE / "torch_train.py", *shared, "--device", "cuda"], env, folder)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    rate = statistics.median(line["tokens_per_s"] for line in lines[options.warmup:])
    return rate, max(line["device_bytes"] for line in lines), [line["loss"] for line in lines]


def main():
    options = parse()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_inputs(folder)
        print(f"{'precision':9} {'micro-batch':>11} {'stage':>9} {'ours tok/s':>11} {'eager tok/s':>11} {'ratio':>6} {'ours GB':>8} {'eager GB':>8} {'loss gap':>9}")
        for precision in options.precisions:
            for micro_batch in options.micro_batches:
                write_config(folder, precision, 0, micro_batch, False)
                eager_rate, eager_bytes, eager_losses = measure(options, folder, "eager")
                for stage, offload in [(s, False) for s in options.stages] + [(2, True)] * options.offload:
                    write_config(folder, precision, stage, micro_batch, offload)
                    rate, held, losses = measure(options, folder, "ours")
                    gap = max(abs(a - b) / b for a, b in zip(losses, eager_losses))
                    print(f"{precision:9} {micro_batch:11} {str(stage) + (' offload' if offload else ''):>9} {rate:11.0f} {eager_rate:11.0f} "
                          f"{rate / eager_rate:6.2f} {held / 1e9:8.2f} {eager_bytes / 1e9:8.2f} {gap:9.1e}", flush=True)
                    if gap > LOSS_TOLERANCE[precision]:
                        sys.exit(f"the losses differ by {gap:.1e}: this compares different work")


if __name__ == "__main__":
    main()
