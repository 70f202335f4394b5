"""Makes the goldens of models with an encoder and a decoder (T5) with transformers; see README.md.

  $(benchmarks/peers/env.sh ds)/bin/python tests/parity/make_encoder_decoders.py
"""
import importlib.metadata
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from make_logits import NEAR_TIE, NEW_TOKENS, PROMPTS

HERE = pathlib.Path(__file__).resolve().parent
GOLDENS = HERE / "goldens"
VERSIONS = {name: importlib.metadata.version(name) for name in ("torch", "transformers", "safetensors")}
# (transformers 5.23 fails to generate where the decoder has more layers than the encoder.) Few buckets, so that the texts are longer than the farthest of them; heads whose widths do not add up to the model's; an answer
# that starts with another token than padding.
T5 = dict(model_type="t5", num_layers=3, num_decoder_layers=2, d_model=32, d_kv=12, d_ff=40, num_heads=4, vocab_size=67,
          relative_attention_num_buckets=8, relative_attention_max_distance=14, dropout_rate=0.0, pad_token_id=0, eos_token_id=1,
          decoder_start_token_id=3)
FAMILIES = {"t5": T5 | dict(feed_forward_proj="relu"),
            "t5_gated": T5 | dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False)}
LENGTH, ENDS, ANSWER = 23, [23, 9, 16], 12
FIRST_SEED, SEEDS = 7, 40
TABLE_STD = {True: (1.0, 0.12), False: (0.6, 0.6)}  # of the table and of the head, by whether the head is one of its own


def make_model(folder, config, seed):
    """Nothing in it is an identity. The head of an untied model is one of its own, as in published files, which transformers 5
    does not make by itself."""
    torch.manual_seed(seed)
    model = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(**config))
    untied = config.get("tie_word_embeddings") is False
    if untied:
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "final_layer_norm" in name:  # large, for what is read to show, and for the likeliest token to stand out
                size = 6.0 if name.startswith("encoder") else 3.0
                weight.normal_(size, size / 10)
            elif weight.dim() == 1:
                weight.normal_(1.0, 0.1)
            elif "relative_attention_bias" in name:
                weight.normal_(0.0, 2.0)
            elif name.startswith(("shared", "lm_head")):  # a large table that is also the head makes answers repeat themselves
                weight.normal_(0.0, TABLE_STD[untied][name.startswith("lm_head")])
            else:
                scores = config["d_kv"] if name.endswith(".q.weight") else 1
                weight.normal_(0.0, 1.5 * (weight.shape[1] * scores) ** -0.5)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: p.detach().to(torch.bfloat16).contiguous() for name, p in model.named_parameters()}
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(
        {"architectures": ["T5ForConditionalGeneration"], **config, "is_encoder_decoder": True, "dtype": "bfloat16"}, indent=2) + "\n")


def load(folder):
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
    untied = json.loads((folder / "config.json").read_text()).get("tie_word_embeddings") is False
    assert untied == (model.lm_head.weight is not model.shared.weight)
    return model


def inputs(vocab):
    ids = torch.tensor([[(17 + 31 * t + 101 * b + t * t) % vocab for t in range(LENGTH)] for b in range(len(ENDS))])
    mask = torch.tensor([[int(t < end) for t in range(LENGTH)] for end in ENDS])
    labels = torch.tensor([[(5 + 23 * t + 7 * b + b * t * t) % vocab for t in range(ANSWER)] for b in range(len(ENDS))])
    labels[1, 7:] = -100  # an answer that ends, and one with a hole
    labels[2, 4] = -100
    return ids, mask, labels


def continuations(model):
    """prompts [10, 17] and their ends [10], greedy answers [10, 64] and the first step [10] at which the two best logits are
    nearly tied (64: none is)."""
    vocab = model.config.vocab_size
    ends = torch.tensor([3 + (5 * p) % 15 for p in range(PROMPTS)])
    prompts = torch.tensor([[(5 + 13 * p + 29 * t + p * t * t) % vocab for t in range(17)] for p in range(PROMPTS)])
    made, ties = [], []
    for prompt, end in zip(prompts, ends):  # one by one: no padding, no batch that changes the rounding
        row = prompt[None, :end]
        out = model.generate(row, attention_mask=torch.ones_like(row), max_new_tokens=NEW_TOKENS, do_sample=False,
                             eos_token_id=None, return_dict_in_generate=True, output_logits=True)
        made.append(out.sequences[0, 1:])
        best = torch.stack([step[0].topk(2).values for step in out.logits])
        near = ((best[:, 0] - best[:, 1]) < NEAR_TIE).nonzero()
        ties.append(int(near[0]) if len(near) else NEW_TOKENS)
    return prompts, ends, torch.stack(made), torch.tensor(ties)


def make_logits(folder, path):
    """ids, ends, labels, logits [B, T, V] at each label, loss and grad_norm.NAME [1] of every tensor of the files, and
    continuations(). Returns the share of prompts without a near tie and that of tokens in the answers that differ from the one before."""
    model = load(folder)
    ids, mask, labels = inputs(model.config.vocab_size)
    out = model(input_ids=ids, attention_mask=mask, labels=labels)
    out.loss.backward()
    tensors = {"ids": ids, "ends": mask.sum(1), "labels": labels, "logits": out.logits.detach().contiguous(),
               "loss": out.loss.detach().reshape(1)}
    for name, parameter in model.named_parameters():
        tensors[f"grad_norm.{name}"] = parameter.grad.double().norm().float().reshape(1)
    with torch.no_grad():
        for name, value in zip(("prompts", "prompt_ends", "continuations", "first_near_tie"), continuations(model)):
            tensors[name] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(path), metadata={"format": "pt", "made_with": json.dumps(VERSIONS)})
    untied = (tensors["first_near_tie"] == NEW_TOKENS).double().mean().item()
    made = tensors["continuations"]
    return untied, (made[:, 1:] != made[:, :-1]).double().mean().item()


def main():
    torch.set_num_threads(1)
    for name, config in FAMILIES.items():
        folder = GOLDENS / "models" / f"{name}-sharp"
        for seed in range(FIRST_SEED, FIRST_SEED + SEEDS):
            make_model(folder, config, seed)
            untied, changes = make_logits(folder, GOLDENS / "logits" / f"{name}.safetensors")
            print(name, seed, untied, changes)
            if untied >= 0.9 and changes >= 0.35:
                break
        else:
            sys.exit(f"{name}: no seed gives answers without near ties")


if __name__ == "__main__":
    main()
