"""Writes goldens/minilm_embeddings.json: sentence embeddings of a real model, by transformers in fp32.

  ./dev models; $(benchmarks/peers/env.sh ds)/bin/python tests/inference/make_minilm_embeddings.py

The mean over the tokens that are no padding, brought to length 1, is what the model's modules.json says; the texts go through as one
padded batch.
"""
import json
import os
import pathlib

import torch
from transformers import AutoModel, AutoTokenizer

HERE = pathlib.Path(__file__).resolve().parent
MODEL = pathlib.Path(os.environ.get("DEEPSPEED_MODELS", pathlib.Path.home() / ".cache/deepspeed-models")) / "all-MiniLM-L6-v2"
TEXTS = ["a", "In the beginning God created the heaven and the earth.", "Na\u00efve caf\u00e9s in \u0130stanbul: 3.14 \u2014 \u6771\u4eac don't!",
         "And Shem lived after he begat Arphaxad five hundred years, and begat sons and daughters. " * 8]


def main():
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    model = AutoModel.from_pretrained(MODEL, dtype=torch.float32).eval()
    batch = tokenizer(TEXTS, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1).float()
    vectors = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)
    rows = [{"text": text, "embedding": [round(value, 7) for value in vector.tolist()]} for text, vector in zip(TEXTS, vectors)]
    (HERE / "goldens" / "minilm_embeddings.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
