#!/usr/bin/env python3
"""Inference beside OpenVINO, Hugging Face and llama.cpp, each in turn with ours (./dev bench inference).

  benchmarks/peers/inference.py [--rows encoder decoder] [--pairs 3] [--threads 2] [--rivals openvino hf llama] [--json]

Encoders: all-MiniLM-L6-v2, a sentence vector of 1 x 16, 1 x 128 and 8 x 128 tokens. Ours is ds_infer's call as a whole, from
text to the pooled vector (`ds_infer --bench`); the rivals are given token ids and give the last hidden state. Decoders: Gemma-3
270M from its GGUF file: a prompt of 512 tokens, then 64 tokens one at a time; and from the start of the process, loading included,
to the first token after a prompt of 8 (the rivals' clocks begin once Python runs). "int4 calibrated" is a folder of ds_quantize.
Rows of decoding also give the weights' bytes a second as a part of what this machine reads. Each figure is a median within its
process; a row is the median over the pairs, and above 1 ours is better. Rivals without an environment (env.sh) or a model file are
named and left out.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODELS = pathlib.Path(os.environ.get("DEEPSPEED_MODELS", pathlib.Path.home() / ".cache/deepspeed-models"))
PEERS = pathlib.Path(os.environ.get("PEERS_DIR", pathlib.Path.home() / ".cache/deepspeed-peers"))
MINILM = MODELS / "all-MiniLM-L6-v2"
GEMMA = MODELS / "gemma-3-270m-q4_k_m.gguf"
INT8 = "quant={\"activation\":{\"enabled\":false}}"
# What one token reads of Gemma-3 270M: 18 layers, and the table of tokens as vocabulary head, which has 8 bits where layers have
# fewer. Groups of 32 have a scale and a shift of 16 bits.
LAYERS, HEAD = 18 * (640 * 1024 + 2 * 640 * 256 + 1024 * 640 + 3 * 640 * 2048), 262144 * 640
EIGHT_BITS = 18 * (640 * 256 + 640 * 2048)  # values and the last projection of an MLP, in what ds_quantize makes
BYTES_A_TOKEN = {"bf16": 2 * (LAYERS + HEAD), "int8": LAYERS + HEAD, "int4": 5 / 8 * LAYERS + HEAD,
                 "int4 calibrated": 5 / 8 * (LAYERS - EIGHT_BITS) + EIGHT_BITS + HEAD}
# One token each in BERT's vocabulary.
WORDS = "earth water light night evening morning day heaven tree fruit seed beast cattle fish image garden river gold stone man".split()


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


def report(options, name, unit, ours, theirs, rival_name, smaller_is_better, of_reading=None):
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    ratio = theirs / ours if smaller_is_better else ours / theirs
    if options.json:
        print(json.dumps(dict(name=name, unit=unit, ours=ours, rival=theirs, rival_name=rival_name, ratio=ratio, of_reading=of_reading, cpu=cpu())), flush=True)
    else:
        reading = "" if of_reading is None else f", {of_reading:.2f} of reading"
        print(f"{name:<34}{ours:>10.2f}{theirs:>10.2f} {unit:<9}{ratio:>6.2f}   beside {rival_name}{reading}", flush=True)


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
        # Between [CLS] and [SEP].
        texts = [" ".join(WORDS[(row + 7 * i) % len(WORDS)] for i in range(length - 2)) for row in range(batch)]
        for kind, flags, openvino_type, hf_type in kinds:
            rivals = []
            if "openvino" in options.rivals and available("openvino"):
                rivals.append((f"OpenVINO {openvino_type}", ("openvino", MINILM, openvino_type), {"latency_ms": "", "static_ms": " for this shape alone"}))
            if "hf" in options.rivals and kind != "w8a8" and available("hf"):
                rivals.append((f"Hugging Face {hf_type}", ("hf-encoder", MINILM, hf_type), {"latency_ms": ""}))
            for rival_name, words, figures in rivals:
                ours, theirs = [], []
                for _ in range(options.pairs):
                    ours.append(ds_infer(options, "--model", MINILM, "--task", "feature-extraction", "--batch-size", batch, "--bench-runs", 45, *flags, *texts)["call"]["p50"])
                    theirs.append(rival(options, "ds", *words, batch, length))
                for figure, how in figures.items():
                    report(options, f"encoder_{batch}x{length}_{kind}", "ms", ours, [run[figure] for run in theirs], rival_name + how, True)


def calibrated(options, folder):
    """What perplexity.py measures, most of it in 4 bits; calibrated with a few windows, which its speed does not depend on."""
    text = folder / "kjv.txt"
    subprocess.run([ROOT / "examples/gpt2/make_text.sh", text], check=True, stdout=subprocess.DEVNULL)
    lines([options.bin / "ds_quantize", GEMMA, folder / "int4", "--calibrate", text, "--calibration-windows", 4], options.threads)
    return folder / "int4"


def decoders(options):
    if not GEMMA.exists():
        print(f"left out: decoders: {GEMMA} is missing", file=sys.stderr)
        return
    rivals = [(name, environment, words) for name, environment, words in
              (("Hugging Face bfloat16", "hf", ("hf-decoder", GEMMA, "bfloat16", 512, 64)), ("llama.cpp Q4_K_M", "llama", ("llama", GEMMA, "-", 512, 64)))
              if environment in options.rivals and available(environment)]
    if not rivals:
        return
    with tempfile.TemporaryDirectory() as name:
        kinds = {"bf16": (GEMMA, "--dtype", "bf16", "--set", "kernel_inject=true"), "int8": (GEMMA, "--dtype", "int8", "--set", INT8),
                 "int4": (GEMMA, "--dtype", "int8", "--set", "quant={\"weight\":{\"num_bits\":4,\"q_type\":\"asymmetric\"}}")}
        if shutil.which("bible"):
            kinds["int4 calibrated"] = (calibrated(options, pathlib.Path(name)), "--dtype", "int8")
        else:
            print("left out: int4 calibrated: no text (the Debian package bible-kjv)", file=sys.stderr)
        for rival_name, environment, words in rivals:
            ours, first, theirs, reading = {kind: [] for kind in kinds}, {kind: [] for kind in kinds}, [], []
            for _ in range(options.pairs):
                theirs.append(rival(options, "ds" if environment == "hf" else "llama", *words))
                reading += [row["ours"] for row in lines([options.bin / "ops_read_bandwidth_bench"], options.threads)]
                for kind, flags in kinds.items():
                    ours[kind].append(ds_infer(options, "--bench-prompt-tokens", 512, "--max-new-tokens", 64, "--greedy", "--bench-runs", 3, "--model", *flags))
                    first[kind].append(statistics.median(first_token_s(options, "--model", *flags) for _ in range(3)))
            for kind in kinds:
                label = kind.replace(" ", "_")
                decode = [run["answer"]["p50"] for run in ours[kind]]
                of_reading = statistics.median(decode) * BYTES_A_TOKEN[kind] / statistics.median(reading)
                report(options, f"decoder_prefill512_{label}", "tokens/s", [run["prompt"]["p50"] for run in ours[kind]], [run["prefill"] for run in theirs], rival_name, False)
                report(options, f"decoder_decode_{label}", "tokens/s", decode, [run["decode"] for run in theirs], rival_name, False, of_reading)
                report(options, f"decoder_first_token_{label}", "s", first[kind], [run["first_token_s"] for run in theirs], rival_name, True)


def main():
    options = parse()
    if not options.json:
        print(f"{cpu()}, {options.threads} threads, medians of {options.pairs} pairs\n{'':<34}{'ours':>10}{'theirs':>10} {'':<9}{'ratio':>6}")
    for rows in options.rows:
        (encoders if rows == "encoder" else decoders)(options)


if __name__ == "__main__":
    main()
