"""Logits, loss and gradient norms of transformers in fp32 for a fixed input. Imported by make_goldens.py."""
import json
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

BATCH, LENGTH = 2, 23
# Parameters that files call otherwise than transformers' modules do.
FILE_NAMES = {"gpt_neox": {"lm_head.weight": "embed_out.weight"}}


def inputs(vocab_size):
    """Ids spread over the whole vocabulary, the same on every machine."""
    return torch.tensor([[(17 + 31 * t + 101 * b + t * t) % vocab_size for t in range(LENGTH)] for b in range(BATCH)])


def make_logits(model_folder, path, versions):
    """Writes input_ids [1 and 2, T], logits [.., T, V], loss [1] of the batch, and grad_norm.NAME [1] of each parameter."""
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
    names = FILE_NAMES.get(model.config.model_type, {})
    for name, parameter in model.named_parameters():
        name = names.get(name, name)
        tensors[f"grad_norm.{name}"] = parameter.grad.double().norm().float().reshape(1)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(path), metadata={"format": "pt", "made_with": json.dumps(versions)})


if __name__ == "__main__":
    sys.exit("run make_goldens.py")
