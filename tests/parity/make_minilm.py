"""Writes goldens/minilm.json: ids, and mean-pooled hidden states, that tokenizers and transformers give for a real BERT.

  ./dev models; $(benchmarks/peers/env.sh ds)/bin/python tests/parity/make_minilm.py
"""
import json
import os
import pathlib

import torch
from tokenizers import Tokenizer
from transformers import AutoModel

HERE = pathlib.Path(__file__).resolve().parent
MODEL = pathlib.Path(os.environ.get("DEEPSPEED_MODELS", pathlib.Path.home() / ".cache/deepspeed-models")) / "all-MiniLM-L6-v2"
TEXTS = ["In the beginning God created the heaven and the earth.",
         "And Shem lived after he begat Arphaxad five hundred years, and begat sons and daughters.",
         "Na\u00efve caf\u00e9s in \u0130stanbul: 3.14 \u2014 \u6771\u4eac [MASK] don't!"]


def main():
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    model = AutoModel.from_pretrained(MODEL, dtype=torch.float32).eval()
    rows = []
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        with torch.no_grad():
            pooled = model(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(0)
        rows.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids), "pooled": [round(v, 6) for v in pooled.tolist()[:24]]})
    (HERE / "goldens" / "minilm.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
