#!/usr/bin/env python3
"""Inference beside OpenVINO, Hugging Face and llama.cpp, each in turn with ours (./dev bench inference).

  benchmarks/peers/inference.py [--rows encoder decoder] [--pairs 3] [--threads 2] [--rivals openvino hf llama] [--json]

Encoders: all-MiniLM-L6-v2, a sentence vector of 1 x 16, 1 x 128 and 8 x 128 tokens. Ours is ds_infer's call as a whole, from
text to the pooled vector (`ds_infer --bench`); the rivals are given token ids and give the last hidden state. Decoders: Gemma-3
270M from its GGUF file: a prompt of 512 tokens, then tokens one at a time; and from the start of the process, loading included,
to the first token after a prompt of 8 (the rivals' clocks begin once Python runs). Each figure is a median within its process; a row is
the median over the pairs, and above 1 ours is better. Rivals without an environment (env.sh) or a model file are named and left out.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODELS = pathlib.Path(os.environ.get("DEEPSPEED_MODELS", pathlib.Path.home() / ".cache/deepspeed-models"))
PEERS = pathlib.Path(os.environ.get("PEERS_DIR", pathlib.Path.home() / ".cache/deepspeed-peers"))
MINILM = MODELS / "all-MiniLM-L6-v2"
GEMMA = MODELS / "gemma-3-270m-q4_k_m.gguf"
INT8 = "quant={\"activation\":{\"enabled\":false}}"


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=["encoder", "decoder"], default=["encoder", "decoder"])
    parser.add_argument("--rivals", nargs="+", choices=["openvino", "hf", "llama"], default=["openvino", "hf", "llama"])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bin", type=lambda path: pathlib.Path(path).resolve(), default=ROOT / "build/release/bin")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def lines(words, threads):
    done = subprocess.run([str(word) for word in words], env=dict(os.environ, OMP_NUM_THREADS=str(threads)), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}\nexited with {done.returncode}:\n{done.stderr[-3000:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def rival(options, environment, *words):
    return lines([PEERS / environment / "bin/python", HERE / "inference_rival.py", *words, options.threads], options.threads)[-1]


def ds_infer(options, *words):
    return {row["name"]: row for row in lines([options.bin / "ds_infer", "--bench", "--json", "-q", *words], options.threads)}


def first_token_s(options, *words):
    """From the start of the process to the first byte of the answer to a short prompt."""
    begin = time.perf_counter()
    process = subprocess.Popen([str(options.bin / "ds_infer"), "-q", "--greedy", "--max-new-tokens", "1", *map(str, words), "In the beginning God created the"],
                               env=dict(os.environ, OMP_NUM_THREADS=str(options.threads)), stdout=subprocess.PIPE)
    process.stdout.read(1)
    taken = time.perf_counter() - begin
    process.communicate()
    if process.returncode != 0:
        sys.exit(f"ds_infer exited with {process.returncode}")
    return taken


def available(name):
    environment = "llama" if name == "llama" else "ds"
    if (PEERS / environment / ".ready").exists():
        return True
    print(f"left out: {name}: no environment (benchmarks/peers/env.sh {environment})", file=sys.stderr)
    return False


def report(options, name, unit, ours, theirs, rival_name, smaller_is_better):
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    ratio = theirs / ours if smaller_is_better else ours / theirs
    if options.json:
        print(json.dumps(dict(name=name, unit=unit, ours=ours, rival=theirs, rival_name=rival_name, ratio=ratio, cpu=cpu())), flush=True)
    else:
        print(f"{name:<34}{ours:>10.2f}{theirs:>10.2f} {unit:<9}{ratio:>6.2f}   beside {rival_name}", flush=True)


def cpu():
    return next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")


def encoders(options):
    if not (MINILM / "model.safetensors").exists():
        print(f"left out: encoders: {MINILM} is missing (./dev models fetches it)", file=sys.stderr)
        return
    kinds = [("fp32", ["--dtype", "fp32", "--set", "kernel_inject=true"], "f32", "float32"),
             ("bf16", ["--dtype", "bf16", "--set", "kernel_inject=true"], "bf16", "bfloat16"),
             ("w8a8", ["--dtype", "int8"], "f32", "float32")]
    for batch, length in ((1, 16), (1, 128), (8, 128)):
        # Words that are one token each, between [CLS] and [SEP].
        texts = [" ".join(["earth"] * (length - 2))] * batch
        for kind, flags, openvino_type, hf_type in kinds:
            rivals = []
            if "openvino" in options.rivals and available("openvino"):
                rivals.append((f"OpenVINO {openvino_type}", lambda: rival(options, "ds", "openvino", MINILM, openvino_type, batch, length)))
            if "hf" in options.rivals and kind != "w8a8" and available("hf"):
                rivals.append((f"Hugging Face {hf_type}", lambda: rival(options, "ds", "hf-encoder", MINILM, hf_type, batch, length)))
            for rival_name, run in rivals:
                ours, theirs = [], []
                for _ in range(options.pairs):
                    ours.append(ds_infer(options, "--model", MINILM, "--task", "feature-extraction", "--batch-size", batch, "--bench-runs", 45, *flags, *texts)["call"]["p50"])
                    theirs.append(run()["latency_ms"])
                report(options, f"encoder_{batch}x{length}_{kind}", "ms", ours, theirs, rival_name, True)


def decoders(options):
    if not GEMMA.exists():
        print(f"left out: decoders: {GEMMA} is missing", file=sys.stderr)
        return
    kinds = [("bf16", ["--dtype", "bf16", "--set", "kernel_inject=true"]), ("int8", ["--dtype", "int8", "--set", INT8]),
             ("int4", ["--dtype", "int8", "--set", "quant={\"weight\":{\"num_bits\":4,\"q_type\":\"asymmetric\"}}"])]
    for rival_name, environment, words in (("Hugging Face bfloat16", "hf", ("hf-decoder", GEMMA, "bfloat16", 512, 64)), ("llama.cpp Q4_K_M", "llama", ("llama", GEMMA, "-", 512, 64))):
        if environment not in options.rivals or not available(environment):
            continue
        ours, first, theirs = {kind: [] for kind, _ in kinds}, {kind: [] for kind, _ in kinds}, []
        for _ in range(options.pairs):
            theirs.append(rival(options, "ds" if environment == "hf" else "llama", *words))
            for kind, flags in kinds:
                ours[kind].append(ds_infer(options, "--model", GEMMA, "--bench-prompt-tokens", 512, "--max-new-tokens", 64, "--greedy", "--bench-runs", 3, *flags))
                first[kind].append(statistics.median(first_token_s(options, "--model", GEMMA, *flags) for _ in range(3)))
        for kind, _ in kinds:
            for name, row, key in (("prefill512", "prompt", "prefill"), ("decode", "answer", "decode")):
                report(options, f"decoder_{name}_{kind}", "tokens/s", [run[row]["p50"] for run in ours[kind]], [run[key] for run in theirs], rival_name, False)
            report(options, f"decoder_first_token_{kind}", "s", first[kind], [run["first_token_s"] for run in theirs], rival_name, True)


def main():
    options = parse()
    if not options.json:
        print(f"{cpu()}, {options.threads} threads, medians of {options.pairs} pairs\n{'':<34}{'ours':>10}{'theirs':>10} {'':<9}{'ratio':>6}")
    for rows in options.rows:
        (encoders if rows == "encoder" else decoders)(options)


if __name__ == "__main__":
    main()
