"""Loads an exported Hugging Face folder in transformers and compares its logits with those that we computed.

  $(benchmarks/peers/env.sh ds)/bin/python tests/parity/export_check.py FOLDER [--program PATH] [--tolerance 1e-4]

Ours are what parity_logits_of (built with the tests) writes. Prints the largest difference; exits 1 when it exceeds the
tolerance or when transformers had to invent or drop a weight.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--program", default=pathlib.Path(__file__).parents[2] / "build/release/bin/parity_logits_of")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="absolute")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        subprocess.run([options.program, options.folder, f"{work}/ours.safetensors"], check=True)
        ours = load_file(f"{work}/ours.safetensors")
    model, info = AutoModelForCausalLM.from_pretrained(options.folder, dtype=torch.float32, output_loading_info=True)
    wrong = {kind: sorted(info[kind]) for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") if info[kind]}
    if wrong:
        sys.exit(f"{options.folder}: {wrong}")
    with torch.no_grad():
        theirs = model.eval()(input_ids=ours["input_ids"].long()).logits
    if theirs.shape != ours["logits"].shape:
        sys.exit(f"logits are {list(ours['logits'].shape)}, transformers gives {list(theirs.shape)}")
    worst = (theirs - ours["logits"]).abs().max().item()
    print(f"largest difference {worst:.3e} over logits of size {theirs.abs().max().item():.3f}")
    if not worst <= options.tolerance:
        sys.exit(1)


if __name__ == "__main__":
    main()
