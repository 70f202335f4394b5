#!/usr/bin/env python3
"""Perplexity of Gemma-3 270M on the King James text, ours and llama.cpp's for the same GGUF file (./dev bench perplexity).

  benchmarks/peers/perplexity.py [--windows 64] [--window 512] [--no-rival] [--json]

Both are given the same token ids, which llama.cpp's tokenizer makes (ours must make the same of the text), in windows that begin
with the model's own first token and whose second half is scored. A row says how far each of our forms is from llama.cpp's
Q4_K_M, and from our own bf16. "int4 calibrated" is what ds_quantize makes of the file, calibrated with a part of the text that
no window scores.
"""
import argparse
import array
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODELS = pathlib.Path(os.environ.get("DEEPSPEED_MODELS", pathlib.Path.home() / ".cache/deepspeed-models"))
PEERS = pathlib.Path(os.environ.get("PEERS_DIR", pathlib.Path.home() / ".cache/deepspeed-peers"))
GEMMA = MODELS / "gemma-3-270m-q4_k_m.gguf"
FORMS = [("fp32", ["--dtype", "fp32", "--set", "kernel_inject=true"]),
         ("bf16", ["--dtype", "bf16", "--set", "kernel_inject=true"]),
         ("int8", ["--dtype", "int8", "--set", 'quant={"activation":{"enabled":false}}']),
         ("w8a8", ["--dtype", "int8"]),
         ("int4", ["--dtype", "int8", "--set", 'quant={"weight":{"num_bits":4,"q_type":"asymmetric"}}'])]
# Of a folder that ds_quantize makes; calibrated with what stands behind the scored windows.
CALIBRATED = "int4 calibrated"


def run(options, words):
    done = subprocess.run([str(word) for word in words], env=dict(os.environ, OMP_NUM_THREADS=str(options.threads)), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stderr[-3000:]}")
    return done.stdout


def calibrated(options, ids, folder):
    rest = array.array("I", ids.read_bytes())[options.windows * options.window:]
    text = folder / "calibration.bin"
    text.write_bytes(rest[len(rest) // 2:].tobytes())
    run(options, [options.bin / "ds_quantize", GEMMA, folder / "int4", "--scheme", "int4", "--calibrate", text])
    return ours(options, ids, ["--dtype", "int8"], folder / "int4")


def ours(options, ids, flags, model=GEMMA):
    words = [options.bin / "ds_infer", "--model", model, "-q", "--json", "--perplexity", ids, "--perplexity-window", options.window,
             "--perplexity-windows", options.windows, *flags]
    return json.loads(run(options, words))


def theirs(options, text, ids):
    words = [PEERS / "llama/bin/python", HERE / "perplexity_rival.py", GEMMA, text, ids, options.window, options.windows, options.threads]
    return json.loads(subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=64)
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--forms", nargs="+", default=[name for name, _ in FORMS] + [CALIBRATED])
    parser.add_argument("--no-rival", action="store_true")
    parser.add_argument("--bin", type=lambda path: pathlib.Path(path).resolve(), default=ROOT / "build/release/bin")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not GEMMA.exists():
        sys.exit(f"{GEMMA} is missing: ./dev models fetches it")
    rival = not options.no_rival and (PEERS / "llama/.ready").exists()
    if not rival and not options.no_rival:
        print("left out: llama.cpp: no environment (benchmarks/peers/env.sh llama)", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        text, ids = pathlib.Path(folder) / "kjv.txt", pathlib.Path(folder) / "kjv.bin"
        subprocess.run([ROOT / "examples/gpt2/make_text.sh", text], check=True, stdout=subprocess.DEVNULL)
        base = theirs(options, text, ids) if rival else None
        found = {name: ours(options, ids if rival else text, flags) for name, flags in FORMS if name in options.forms}
        if CALIBRATED in options.forms and rival:
            found[CALIBRATED] = calibrated(options, ids, pathlib.Path(folder))
        if rival and ours(options, text, dict(FORMS)["bf16"]) != found.get("bf16"):
            sys.exit("our tokenizer makes other tokens of the text than llama.cpp's")
    rows = ([("llama.cpp Q4_K_M", base)] if base else []) + list(found.items())
    for name, row in rows:
        beside = {"llama.cpp": base["perplexity"] if base else None, "bf16": found.get("bf16", {}).get("perplexity")}
        changes = {key: row["perplexity"] / value - 1 for key, value in beside.items() if value}
        if options.json:
            print(json.dumps(dict(name=f"perplexity_{name}", **row, **{f"beside_{key}": change for key, change in changes.items()})))
        else:
            print(f"{name:<18}{row['perplexity']:>10.4f} of {row['tokens']} tokens   " +
                  "   ".join(f"{100 * change:+.2f} % of {key}" for key, change in changes.items()))


if __name__ == "__main__":
    main()
