"""Fine-tunes a real BERT on the King James text as a masked language model, with ds_train and with DeepSpeed on the same
batches and masks, and compares the loss curves.

  ./dev models; ./dev build; $(benchmarks/peers/env.sh ds)/bin/python tests/parity/minilm_mlm.py [--steps 60]

Exits with 1 when losses differ by more than 1e-3 of their value, or the held-out perplexity does not fall to a tenth.
"""
import argparse
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForMaskedLM

from make_encoders import run_oracle, write_lines

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = pathlib.Path(os.environ.get("DEEPSPEED_MODELS", pathlib.Path.home() / ".cache/deepspeed-models")) / "all-MiniLM-L6-v2"
RANKS, MICRO_BATCH, LENGTH, HELD_OUT = 2, 4, 64, 200


def make_model(folder):
    """MiniLM with a fresh head, the same for both, and without dropout, which would draw other masks."""
    torch.manual_seed(1)
    config = AutoConfig.from_pretrained(MODEL, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    AutoModelForMaskedLM.from_pretrained(MODEL, config=config, dtype=torch.float32).save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes((MODEL / "tokenizer.json").read_bytes())


def make_data(folder, samples):
    subprocess.run([ROOT / "examples/gpt2/make_text.sh", folder / "kjv.txt"], check=True)
    text = (folder / "kjv.txt").read_text()
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    cls, sep, mask = (tokenizer.token_to_id(t) for t in ("[CLS]", "[SEP]", "[MASK]"))
    rng = random.Random(3)

    def rows(ids):
        for at in range(0, len(ids) - LENGTH, LENGTH - 2):
            row, labels = [cls, *ids[at:at + LENGTH - 2], sep], [-100] * LENGTH
            for t in range(1, LENGTH - 1):
                if rng.random() < 0.15:
                    labels[t], kind = row[t], rng.random()
                    row[t] = mask if kind < 0.8 else rng.randrange(tokenizer.get_vocab_size()) if kind < 0.9 else row[t]
            yield {"input_ids": row, "labels": labels}
    ids = tokenizer.encode(text[:3_000_000], add_special_tokens=False).ids
    train = list(rows(ids))
    rng.shuffle(train)
    held_out = list(rows(tokenizer.encode(text[-100_000:], add_special_tokens=False).ids))[:HELD_OUT]
    write_lines(folder / "train.jsonl", train[:samples])
    write_lines(folder / "held_out.jsonl", held_out)


def config(rate):
    return {"train_micro_batch_size_per_gpu": MICRO_BATCH, "gradient_clipping": 1.0, "steps_per_print": 1000,
            "optimizer": {"type": "AdamW", "params": {"lr": rate, "weight_decay": 0.01}}, "zero_optimization": {"stage": 2}}


def ours(work, steps, rate, log):
    path = work / "ours.ds.json"
    path.write_text(json.dumps(config(rate)))
    command = [ROOT / "build/release/bin/deepspeed", "--num_accelerators", str(RANKS), "--master_port", "0",
               ROOT / "build/release/bin/ds_train", "--objective", "mlm", "--model", work / "model", "--data", work / "train.jsonl",
               "--eval-data", work / "held_out.jsonl", "--seq-length", str(LENGTH), "--steps", str(steps), "--no-shuffle",
               "--deepspeed_config", path, "--log-jsonl", log]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    return float(re.findall(r"perplexity ([0-9.]+)", output)[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--lr", type=float, default=5e-4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        make_model(work / "model")
        make_data(work, options.steps * RANKS * MICRO_BATCH)
        before = ours(work, 1, 0.0, work / "before.jsonl")
        after = ours(work, options.steps, options.lr, work / "ours.jsonl")
        (work / "ds.json").write_text(json.dumps(config(options.lr)))
        run_oracle([{"objective": "mlm", "model": str(work / "model"), "data": str(work / "train.jsonl"), "steps": options.steps,
                     "config": str(work / "ds.json"), "log": str(work / "theirs.jsonl")}], RANKS, work)
        mine, theirs = ([json.loads(line) for line in (work / name).read_text().splitlines()]
                        for name in ("ours.jsonl", "theirs.jsonl"))
    differences = [abs(a["loss"] / b["loss"] - 1) for a, b in zip(mine, theirs)]
    median = [sorted(row["step_ms"] for row in rows)[len(rows) // 2] for rows in (mine, theirs)]
    print(f"{options.steps} steps of {RANKS * MICRO_BATCH} samples of {LENGTH} tokens: loss {mine[0]['loss']:.4f} -> {mine[-1]['loss']:.4f}")
    print(f"held-out perplexity before {before:.1f}, after {after:.1f}")
    print(f"largest relative difference of losses {max(differences):.2e} (mean {sum(differences) / len(differences):.2e})")
    print(f"median step: ours {median[0]:.0f} ms, DeepSpeed {median[1]:.0f} ms")
    assert len(mine) == len(theirs) == options.steps
    sys.exit(0 if max(differences) < 1e-3 and after < before / 10 else 1)


if __name__ == "__main__":
    main()
