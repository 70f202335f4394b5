#!/usr/bin/env python3
"""Perplexity of Gemma-3 270M on the King James text, ours and llama.cpp's for the same GGUF file (./dev bench perplexity).

  benchmarks/peers/perplexity.py [--windows 64] [--window 512] [--no-rival] [--json]

Both are given the same token ids, which llama.cpp's tokenizer makes (ours must make the same of the text), in windows, evenly
spread over the text, that begin with the model's own first token and whose second half is scored. A row says how far each of our forms is from llama.cpp's
Q4_K_M, and from our own bf16. "int4 calibrated" is what ds_quantize makes of the file, calibrated with windows that
are not scored; without llama.cpp it is left out, and the first windows of the text are scored.
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
# Of a folder that ds_quantize makes; calibrated with windows that are not scored.
CALIBRATED = "int4 calibrated"
CALIBRATION_WINDOWS = 64


def run(options, words):
    done = subprocess.run([str(word) for word in words], env=dict(os.environ, OMP_NUM_THREADS=str(options.threads)), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stderr[-3000:]}")
    return done.stdout


def calibrated(options, ids, folder):
    rest = array.array("I", (folder / "rest.bin").read_bytes())
    if not rest:
        sys.exit("all windows are scored, none are left to calibrate with")
    windows = range(0, len(rest) // options.window, max(1, len(rest) // options.window // CALIBRATION_WINDOWS))
    text = folder / "calibration.bin"
    text.write_bytes(b"".join(rest[i * options.window:(i + 1) * options.window].tobytes() for i in windows))
    run(options, [options.bin / "ds_quantize", GEMMA, folder / "int4", "--calibrate", text, "--calibration-windows", CALIBRATION_WINDOWS])
    return ours(options, ids, ["--dtype", "int8"], folder / "int4")


def ours(options, ids, flags, model=GEMMA):
    words = [options.bin / "ds_infer", "--model", model, "-q", "--json", "--perplexity", ids, "--perplexity-window", options.window,
             "--perplexity-windows", options.windows, *flags]
    return json.loads(run(options, words))


def theirs(options, text, folder):
    words = [PEERS / "llama/bin/python", HERE / "perplexity_rival.py", GEMMA, text, folder, options.window, options.windows, options.threads]
    return json.loads(subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def check_tokens(options, text, folder):
    """Our tokenizer must make the same of the text: the first windows are then worth the same."""
    few = argparse.Namespace(**dict(vars(options), windows=2))
    bf16 = dict(FORMS)["bf16"]
    if ours(few, text, bf16) != ours(few, folder / "all.bin", bf16):
        sys.exit("our tokenizer makes other tokens of the text than llama.cpp's")


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
    if options.windows < 1 or options.window != 512 and CALIBRATED in options.forms:
        sys.exit("--windows is 1 or more; calibration reads windows of 512, leave --forms '" + CALIBRATED + "' out for others")
    if not GEMMA.exists():
        sys.exit(f"{GEMMA} is missing: ./dev models fetches it")
    rival = not options.no_rival and (PEERS / "llama/.ready").exists()
    if not rival and not options.no_rival:
        print("left out: llama.cpp: no environment (benchmarks/peers/env.sh llama)", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        text = folder / "kjv.txt"
        subprocess.run([ROOT / "examples/gpt2/make_text.sh", text], check=True, stdout=subprocess.DEVNULL)
        base = theirs(options, text, folder) if rival else None
        if rival:
            check_tokens(options, text, folder)
        ids = folder / "scored.bin" if rival else text
        found = {name: ours(options, ids, flags) for name, flags in FORMS if name in options.forms}
        if rival and CALIBRATED in options.forms:
            found[CALIBRATED] = calibrated(options, ids, folder)
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
