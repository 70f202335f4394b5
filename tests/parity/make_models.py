"""Seeded tiny model folders and the token file that the goldens train on. Imported by make_goldens.py."""
import json
import pathlib
import subprocess

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

ARCHS = {
    "gpt2": dict(model_type="gpt2", n_layer=3, n_embd=48, n_head=3, n_positions=64, vocab_size=257,
                 resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0),
    "llama": dict(model_type="llama", num_hidden_layers=2, hidden_size=64, intermediate_size=112,
                  num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128, vocab_size=259,
                  rms_norm_eps=3e-5, rope_theta=5000.0, tie_word_embeddings=False),
}
# For logits and gradients only. Small, and wherever a family has an option that changes the arithmetic it is on: windows
# shorter than the input, partial rotary angles, grouped queries, a padding token that occurs in the input, a number of
# heads that is no power of two for BLOOM's slopes.
FAMILIES = {
    "mistral": dict(model_type="mistral", num_hidden_layers=2, hidden_size=32, intermediate_size=40, num_attention_heads=4,
                    num_key_value_heads=2, head_dim=12, max_position_embeddings=64, vocab_size=67, sliding_window=7,
                    rope_theta=700.0),
    "qwen2": dict(model_type="qwen2", num_hidden_layers=3, hidden_size=32, intermediate_size=40, num_attention_heads=4,
                  num_key_value_heads=1, max_position_embeddings=64, vocab_size=67, use_sliding_window=True,
                  sliding_window=9, max_window_layers=1, rope_theta=700.0, tie_word_embeddings=True),
    "phi3": dict(model_type="phi3", num_hidden_layers=2, hidden_size=32, intermediate_size=40, num_attention_heads=4,
                 num_key_value_heads=2, max_position_embeddings=64, original_max_position_embeddings=64, vocab_size=67,
                 partial_rotary_factor=0.5, rope_theta=700.0, sliding_window=11, pad_token_id=17, bos_token_id=1,
                 eos_token_id=2),
    "gpt_neox": dict(model_type="gpt_neox", num_hidden_layers=2, hidden_size=32, intermediate_size=48,
                     num_attention_heads=4, max_position_embeddings=64, vocab_size=67, rotary_pct=0.5, hidden_dropout=0.0,
                     attention_dropout=0.0),
    "opt": dict(model_type="opt", num_hidden_layers=2, hidden_size=32, ffn_dim=48, num_attention_heads=4,
                max_position_embeddings=32, vocab_size=67, word_embed_proj_dim=32, dropout=0.0, pad_token_id=17),
    "bloom": dict(model_type="bloom", n_layer=2, hidden_size=36, n_head=6, vocab_size=67),
}
SEED = 7
DATA_TOKENS = 30000


def make_model(folder, arch, std, dtype=torch.float32, **save_options):
    """Random weights in which nothing is an identity: biases and norm weights are drawn as well. A `std` of 0.03 trains
    smoothly, which bf16 curves need to be comparable; 0.15 makes attention far from uniform, which logits need. Stored as bf16 a
    model is half as large and still one set of fp32 weights."""
    torch.manual_seed(SEED)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**(ARCHS | FAMILIES)[arch]))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2:
                weight.normal_(0.0, std)
            elif name.endswith("bias"):
                weight.normal_(0.0, 0.05)
            else:
                weight.normal_(1.0, 0.1)
    model.to(dtype).save_pretrained(folder, **save_options)
    for extra in pathlib.Path(folder).glob("generation_config.json"):
        extra.unlink()


def make_data(path):
    """Bytes of the King James text (public domain; Debian package bible-kjv) as little-endian u16 token ids."""
    text = subprocess.run(["bible", "gen1:1-50:26"], check=True, capture_output=True).stdout
    ids = np.frombuffer(text, dtype=np.uint8)[:DATA_TOKENS].astype("<u2")
    assert len(ids) == DATA_TOKENS
    ids.tofile(path)


def eager_copy(folder, target):
    """The same model with another attention implementation: its curve shows the oracle's own rounding noise."""
    target.mkdir(parents=True, exist_ok=True)
    (target / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config["attn_implementation"] = "eager"
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n")
