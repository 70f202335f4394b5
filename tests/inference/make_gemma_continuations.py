"""What transformers 5.23 goes on with after some texts, greedily, by the weights of Gemma-3 270M's Q4_K_M file dequantized to fp32:
goldens/gemma_continuations.json.

    $(benchmarks/peers/env.sh ds)/bin/python tests/inference/make_gemma_continuations.py   (./dev models fetches the file)

A row: text, the prompt's ids, the answer's, and the first step at which the two best logits are nearly tied (64: none is).
"""
import json
import os
import pathlib

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = pathlib.Path(__file__).resolve().parent
MODELS = pathlib.Path(os.environ.get("DEEPSPEED_MODELS", pathlib.Path.home() / ".cache/deepspeed-models"))
FILE = MODELS / "gemma-3-270m-q4_k_m.gguf"
NEW_TOKENS, NEAR_TIE = 64, 1e-3
TEXTS = ["The capital of France is", "In the beginning God created the", "def fibonacci(n):", "Der Himmel über Zürich ist heute",
         "1, 2, 3, 4, 5,"]


def main():
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(str(MODELS), gguf_file=FILE.name, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(MODELS), gguf_file=FILE.name)
    model.generation_config.eos_token_id = None
    rows = []
    for text in TEXTS:
        ids = tokenizer(text, return_tensors="pt").input_ids
        with torch.no_grad():
            out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False,
                                 return_dict_in_generate=True, output_logits=True)
        best = torch.stack([step[0].topk(2).values for step in out.logits])
        near = ((best[:, 0] - best[:, 1]) < NEAR_TIE).nonzero()
        rows.append({"text": text, "prompt": ids[0].tolist(), "tokens": out.sequences[0, ids.shape[1]:].tolist(),
                     "first_near_tie": int(near[0]) if len(near) else NEW_TOKENS})
        print(repr(tokenizer.decode(rows[-1]["tokens"])), rows[-1]["first_near_tie"], flush=True)
    (HERE / "goldens/gemma_continuations.json").write_text("[\n " + ",\n ".join(map(json.dumps, rows)) + "\n]\n")


if __name__ == "__main__":
    main()
