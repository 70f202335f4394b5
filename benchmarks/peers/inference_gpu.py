#!/usr/bin/env python3
"""A random LLaMA of 1.1B parameters on one GPU by ds_infer and by Hugging Face transformers (bf16, its default attention) in turn: time to the first token of a
prompt, and tokens a second after it.

  benchmarks/peers/inference_gpu.py [--bin build/cuda/bin] [--prompt 512] [--new 128] [--pairs 3] [--forms bf16 fused fp8 w8a8 int8 int4]

Both are given the same token ids, and generate greedily without an end. Ours is the process's own measurement (ds_infer --bench), theirs that of a process that stays; each
warms up first. Needs ./dev build cuda, and a python3 with PyTorch for CUDA and transformers.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = dict(vocab_size=32000, hidden_size=2048, intermediate_size=5632, num_hidden_layers=22, num_attention_heads=32, num_key_value_heads=4,
             max_position_embeddings=4096, tie_word_embeddings=False)
FORMS = {"bf16": ["--dtype", "bf16"],
         "fused": ["--dtype", "bf16", "--set", "kernel_inject=true"],
         "fp8": ["--dtype", "fp8"],
         "w8a8": ["--dtype", "int8"],
         "int8": ["--dtype", "int8", "--set", "quant.activation.num_bits=16"],
         "int4": ["--dtype", "int8", "--set", "quant.weight.num_bits=4"]}

RUNS = 3  # of each side in a pair, after one that does not count; their median


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=lambda path: pathlib.Path(path).resolve(), default=ROOT / "build/cuda/bin")
    parser.add_argument("--prompt", type=int, default=512, help="tokens")
    parser.add_argument("--new", type=int, default=128, help="tokens that are generated")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--rival", metavar="FOLDER", help=argparse.SUPPRESS)
    return parser.parse_args()


def make_model(folder):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    torch.manual_seed(1)
    with torch.device("cuda"):
        model = LlamaForCausalLM(LlamaConfig(**MODEL)).to(torch.bfloat16)
    model.save_pretrained(folder)


def prompt_ids(count):  # as ds_infer --bench makes them
    return [(i * 7919 + 13) % MODEL["vocab_size"] for i in range(count)]


def serve_rival(options):
    """A line of JSON for each line of standard input."""
    import torch
    from transformers import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_pretrained(options.rival, dtype=torch.bfloat16).cuda().eval()
    ids = torch.tensor([prompt_ids(options.prompt)], device="cuda")

    def took(count):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=0)
        torch.cuda.synchronize()
        assert out.shape[1] == options.prompt + count
        return time.perf_counter() - begin

    took(8)
    print("ready", flush=True)
    for _ in sys.stdin:
        runs = [(took(1), took(options.new)) for _ in range(RUNS)]
        print(json.dumps({"first": 1000 * statistics.median(first for first, _ in runs),
                          "rate": statistics.median((options.new - 1) / (whole - first) for first, whole in runs)}), flush=True)


def ours(options, folder, form):
    command = [options.bin / "ds_infer", "--model", folder, *FORMS[form], "--bench", "--bench-prompt-tokens", options.prompt, "--max-new-tokens", options.new,
               "--bench-runs", RUNS, "--json"]
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ, DS_ACCELERATOR="cuda"))
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nexited with {done.returncode}:\n{done.stderr}")
    rows = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    return {"first": rows["first token"]["p50"], "rate": rows["answer"]["p50"]}


def main():
    options = parse()
    if options.rival:
        return serve_rival(options)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", f"import sys; sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r}); import inference_gpu; inference_gpu.make_model({folder!r})"],
                       check=True, stdout=subprocess.DEVNULL)
        rival = subprocess.Popen([sys.executable, __file__, "--rival", folder, "--prompt", str(options.prompt), "--new", str(options.new)], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)
        assert rival.stdout.readline() == "ready\n"
        print(subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True).stdout.strip())
        for form in options.forms:
            pairs = []
            for _ in range(options.pairs):
                mine = ours(options, folder, form)
                rival.stdin.write("\n")
                rival.stdin.flush()
                pairs.append((mine, json.loads(rival.stdout.readline())))
            median = lambda pick: statistics.median(map(pick, pairs))
            print(f"{form:5}  first token {median(lambda p: p[0]['first']):7.2f} ms / {median(lambda p: p[1]['first']):7.2f} ms, {median(lambda p: p[1]['first'] / p[0]['first']):.2f}x"
                  f"   answer {median(lambda p: p[0]['rate']):7.1f} / {median(lambda p: p[1]['rate']):7.1f} tokens/s, {median(lambda p: p[0]['rate'] / p[1]['rate']):.2f}x", flush=True)
        rival.stdin.close()
        rival.wait()


if __name__ == "__main__":
    main()
