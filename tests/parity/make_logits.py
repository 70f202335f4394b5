"""Logits, loss, gradient norms and greedy continuations of transformers in fp32. Imported by make_goldens.py."""
import json
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

BATCH, LENGTH = 2, 23
PROMPTS, PROMPT, NEW_TOKENS = 10, 7, 64
NEAR_TIE = 1e-3
# Parameters that files call otherwise than transformers' modules do.
FILE_NAMES = {"gpt_neox": {"lm_head.weight": "embed_out.weight"}}


def inputs(vocab_size):
    """Ids spread over the whole vocabulary, the same on every machine."""
    return torch.tensor([[(17 + 31 * t + 101 * b + t * t) % vocab_size for t in range(LENGTH)] for b in range(BATCH)])


def file_parts(name, gradient, model_type):
    """A parameter's gradient as (name, part) of the tensors that hold it in files: transformers stacks experts, files do not."""
    name = FILE_NAMES.get(model_type, {}).get(name, name)
    if ".experts." not in name:
        yield name.replace(".mlp.gate.", ".block_sparse_moe.gate.") if model_type == "mixtral" else name, gradient
        return
    mixtral = model_type == "mixtral"
    gate, up, down = ("w1", "w3", "w2") if mixtral else ("gate_proj", "up_proj", "down_proj")
    stem = name[:name.index("experts.")].replace(".mlp.", ".block_sparse_moe.") if mixtral else name[:name.index("experts.")]
    for expert, rows in enumerate(gradient):
        if name.endswith("down_proj"):
            yield f"{stem}experts.{expert}.{down}.weight", rows
        else:
            first, second = rows.chunk(2)
            yield f"{stem}experts.{expert}.{gate}.weight", first
            yield f"{stem}experts.{expert}.{up}.weight", second


def continuations(model):
    """prompts [10, 7], their greedy continuations [10, N = 64] and the first step [10] at which the two best logits are nearly tied
    (N: none is)."""
    vocabulary = model.config.vocab_size
    prompts = torch.tensor([[(5 + 13 * p + 29 * t + p * t * t) % vocabulary for t in range(PROMPT)] for p in range(PROMPTS)])
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    made = []
    ties = []
    for prompt in prompts:  # one by one: no padding, no batch that changes the rounding
        out = model.generate(prompt[None], attention_mask=torch.ones_like(prompt[None]), max_new_tokens=NEW_TOKENS, do_sample=False,
                             return_dict_in_generate=True, output_logits=True)
        made.append(out.sequences[0, PROMPT:])
        best = torch.stack([step[0].topk(2).values for step in out.logits])
        near = ((best[:, 0] - best[:, 1]) < NEAR_TIE).nonzero()
        ties.append(int(near[0]) if len(near) else NEW_TOKENS)
    return prompts, torch.stack(made), torch.tensor(ties)


def make_logits(model_folder, path, versions):
    """Writes input_ids [1 and 2, T], logits [.., T, V], loss [1] of the batch, grad_norm.NAME [1] of each tensor of the files, and
    continuations(). Returns the share of prompts without a near tie."""
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    ids = inputs(model.config.vocab_size)
    tensors = {"input_ids": ids, "single.input_ids": ids[:1].clone()}
    model.eval()
    with torch.no_grad():
        tensors["logits"] = model(input_ids=ids).logits.contiguous()
        tensors["single.logits"] = model(input_ids=ids[:1]).logits.contiguous()
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    tensors["loss"] = loss.detach().reshape(1)
    for name, parameter in model.named_parameters():
        for part, gradient in file_parts(name, parameter.grad, model.config.model_type):
            tensors[f"grad_norm.{part}"] = gradient.double().norm().float().reshape(1)
    with torch.no_grad():
        tensors["prompts"], tensors["continuations"], tensors["first_near_tie"] = continuations(model)
    untied = (tensors["first_near_tie"] == tensors["continuations"].shape[1]).double().mean().item()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(path), metadata={"format": "pt", "made_with": json.dumps(versions)})
    return untied


if __name__ == "__main__":
    sys.exit("run make_goldens.py")
