#!/usr/bin/env python3
"""Lets a model answer that does not fit into memory, its weights read from the disk as they are used (./dev bench zero-inference).

  benchmarks/zero_inference/run.py [--forms bf16 packed int8 int4] [--batch 1] [--prompt 32] [--tokens 8] [--layers 28]
                                   [--folder FOLDER | --model FOLDER] [--json]

A LLaMA of 28 layers x 2048 (1.5B parameters) with random bf16 weights is written once, to a temporary folder on the disk to be
measured (--model: to a folder that stays and is used again). Every form answers twice: with all weights in memory, and under a
cgroup whose limit is half of the model's bf16 bytes, page cache included, with zero {stage 3, offload_param nvme, max_in_cpu 0}.
The tokens must be the same. What counts is how fast the later tokens' weights are read, beside how fast aio_bench reads the
model's file alone (1 MiB blocks, depth 8, past the page cache), before and after. `bf16` reads the model's own file; `packed` (kernel_inject), `int8` and
`int4` are written to nvme_path first, in the form in which they are multiplied. The exit status is 1 if tokens differ, a limit
could not be set, or a form reads at less than 0.7 of the disk.
"""
import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks/memory"))
from limit import MemoryLimit  # noqa: E402

FORMS = {
    "bf16": {"dtype": "bf16"},
    "packed": {"dtype": "bf16", "kernel_inject": True},
    "int8": {"dtype": "int8"},
    "int4": {"dtype": "int8", "quant": {"weight": {"num_bits": 4}}},
}
LEAST = 0.7


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--prompt", type=int, default=32, help="tokens of each prompt")
    parser.add_argument("--tokens", type=int, default=8, help="tokens of each answer")
    parser.add_argument("--layers", type=int, default=28)
    parser.add_argument("--folder", default=ROOT / "build", type=pathlib.Path, help="on the disk to be measured")
    parser.add_argument("--model", type=pathlib.Path, help="where the model stays, in --folder's place")
    parser.add_argument("--bin", type=lambda path: pathlib.Path(path).resolve(), default=ROOT / "build/release/bin")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    return parser.parse_args()


def output_of(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nexited with {done.returncode}:\n{done.stderr[-2000:]}{done.stdout[-2000:]}")
    return done.stdout


def make(args, folder):
    if (folder / "model.safetensors").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as config:
        file = pathlib.Path(config) / "config.json"
        file.write_text(json.dumps({
            "model_type": "llama", "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": args.layers,
            "num_attention_heads": 16, "num_key_value_heads": 16, "vocab_size": 32000, "max_position_embeddings": 2048,
            "tie_word_embeddings": True, "initializer_range": 0.02, "rms_norm_eps": 1e-5}))
        output_of([args.bin / "zero_inference_bench", "make", file, folder])
    os.sync()


def disk_speed(args, folder):
    """GB/s of reading the model's file from its beginning to its end."""
    read = json.loads(output_of([args.bin / "aio_bench", folder / "model.safetensors", "read", 1 << 20, 8]))
    return read["bytes"] / read["seconds"] / 1e9


def answer(args, folder, config):
    return json.loads(output_of([args.bin / "zero_inference_bench", "answer", folder, json.dumps(config), args.prompt, args.tokens, args.batch]))


def measure(args, folder, form, nvme):
    config = FORMS[form] | {"max_out_tokens": args.prompt + args.tokens}
    resident = answer(args, folder, config)
    streamed = config | {"zero": {"stage": 3, "offload_param": {"device": "nvme", "nvme_path": str(nvme), "max_in_cpu": 0}}}
    limit = MemoryLimit(resident["parameters"] * 2 / 2 / 2**30)
    disk = [disk_speed(args, folder)]
    with limit:
        ours = answer(args, folder, streamed)
    disk.append(disk_speed(args, folder))
    speed = statistics.mean(disk)
    return {
        "name": f"zero_inference_{form}", "unit": "GB/s", "ours": round(ours["decode_gb_per_s"], 3), "rival": round(speed, 3),
        "rival_name": "aio_bench", "ratio": round(ours["decode_gb_per_s"] / speed, 3), "same_tokens": ours["tokens"] == resident["tokens"],
        "tokens_per_s": round(ours["decode_tokens_per_s"], 3), "resident_tokens_per_s": round(resident["decode_tokens_per_s"], 3),
        "first_token_s": round(ours["first_token_s"], 2), "load_s": round(ours["load_s"], 2), "model_gb": round(resident["parameters"] * 2 / 1e9, 3),
        "read_gb": round(ours["round_bytes"] / 1e9, 3), "written_gb": round(ours["written_bytes"] / 1e9, 3), "weights_gb": round(ours["memory_bytes"] / 1e9, 3),
        "peak_gb": round(limit.peak / 1e9, 3) if limit.peak else None, "limited": limit.peak is not None, "what": limit.what}


def main():
    args = parse()
    failed = False
    with contextlib.ExitStack() as stack:
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zero_inference_", dir=args.folder)))
        folder = args.model or work / "model"
        make(args, folder)
        for form in args.forms:
            row = measure(args, folder, form, work / "nvme")
            failed |= not row["same_tokens"] or not row["limited"] or row["ratio"] < LEAST
            if args.json:
                print(json.dumps(row), flush=True)
                continue
            print(f"{form:<7} {row['ours']:5.2f} GB/s of the disk's {row['rival']:5.2f}: {row['ratio']:5.2f}; {row['read_gb']:.2f} GB a token, {row['tokens_per_s']:.2f} tokens/s "
                  f"({row['resident_tokens_per_s']:.2f} with all in memory), first token {row['first_token_s']:.1f} s, loaded in {row['load_s']:.1f} s, {row['written_gb']:.2f} GB written; "
                  f"tokens {'the same' if row['same_tokens'] else 'DIFFER'}; {row['weights_gb']:.2f} GB of weights in memory, at most {row['peak_gb']} GB in all "
                  f"of a model of {row['model_gb']:.2f} GB, {row['what']}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
