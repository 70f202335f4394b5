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
# For logits, gradients and continuations only. Small, and wherever a family has an option that changes the arithmetic it is
# on: windows shorter than the input, partial rotary angles, grouped queries, a padding token that occurs in the input, a number
# of heads that is no power of two for BLOOM's slopes, stretched angles of every kind.
LLAMA = dict(model_type="llama", num_hidden_layers=2, hidden_size=32, intermediate_size=40, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=96, vocab_size=67)
FALCON = dict(model_type="falcon", num_hidden_layers=2, hidden_size=32, num_attention_heads=4, ffn_hidden_size=40, vocab_size=67,
              max_position_embeddings=96)
MOE = dict(num_hidden_layers=3, hidden_size=32, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=96,
           vocab_size=67, output_router_logits=True, router_aux_loss_coef=0.05)


def rope(kind, **parameters):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=700.0, **parameters))


FAMILIES = {
    "mistral": dict(model_type="mistral", num_hidden_layers=2, hidden_size=32, intermediate_size=40, num_attention_heads=4,
                    num_key_value_heads=2, head_dim=12, max_position_embeddings=96, vocab_size=67, sliding_window=7,
                    rope_theta=700.0),
    "qwen2": dict(model_type="qwen2", num_hidden_layers=3, hidden_size=32, intermediate_size=40, num_attention_heads=4,
                  num_key_value_heads=1, max_position_embeddings=96, vocab_size=67, use_sliding_window=True,
                  sliding_window=9, max_window_layers=1, rope_theta=700.0, tie_word_embeddings=True),
    "phi3": dict(model_type="phi3", num_hidden_layers=2, hidden_size=32, intermediate_size=40, num_attention_heads=4,
                 num_key_value_heads=2, max_position_embeddings=96, original_max_position_embeddings=96, vocab_size=67,
                 partial_rotary_factor=0.5, rope_theta=700.0, sliding_window=11, pad_token_id=17, bos_token_id=1,
                 eos_token_id=2),
    "gpt_neox": dict(model_type="gpt_neox", num_hidden_layers=2, hidden_size=32, intermediate_size=48,
                     num_attention_heads=4, max_position_embeddings=96, vocab_size=67, rotary_pct=0.5, hidden_dropout=0.0,
                     attention_dropout=0.0),
    "opt": dict(model_type="opt", num_hidden_layers=2, hidden_size=32, ffn_dim=48, num_attention_heads=4,
                max_position_embeddings=96, vocab_size=67, word_embed_proj_dim=32, dropout=0.0, pad_token_id=17),
    "bloom": dict(model_type="bloom", n_layer=2, hidden_size=36, n_head=6, vocab_size=67),
    "llama-linear": LLAMA | rope("linear", factor=2.5),
    # Sequences of the goldens are longer than 16, from where the base grows.
    "llama-dynamic": LLAMA | rope("dynamic", factor=6.0) | dict(max_position_embeddings=16),
    "llama-yarn": LLAMA | rope("yarn", factor=4.0, original_max_position_embeddings=24, beta_fast=0.7, beta_slow=0.1),
    "llama3": LLAMA | rope("llama3", factor=4.0, original_max_position_embeddings=24, low_freq_factor=0.5, high_freq_factor=3.0),
    # The batch is longer than 16, the continuations cross it.
    "phi3-longrope": dict(model_type="phi3", num_hidden_layers=2, hidden_size=32, intermediate_size=40, num_attention_heads=4,
                          num_key_value_heads=4, max_position_embeddings=96, original_max_position_embeddings=16, vocab_size=67,
                          pad_token_id=17, bos_token_id=1, eos_token_id=2,
                          **rope("longrope", short_factor=[1.0, 1.1, 1.3, 1.7], long_factor=[1.2, 1.9, 3.1, 5.0])),
    "qwen3": dict(model_type="qwen3", num_hidden_layers=2, hidden_size=32, intermediate_size=40, num_attention_heads=4,
                  num_key_value_heads=2, head_dim=12, max_position_embeddings=96, vocab_size=67, rope_theta=700.0,
                  tie_word_embeddings=True),
    "phi": dict(model_type="phi", num_hidden_layers=2, hidden_size=32, intermediate_size=40, num_attention_heads=4,
                num_key_value_heads=2, max_position_embeddings=96, vocab_size=67, partial_rotary_factor=0.5, rope_theta=700.0,
                qk_layernorm=True, pad_token_id=17),
    # As it is published: every head has keys of its own, and none a norm.
    "phi-2": dict(model_type="phi", num_hidden_layers=2, hidden_size=32, intermediate_size=128, num_attention_heads=4,
                  max_position_embeddings=96, vocab_size=67, partial_rotary_factor=0.5),
    "gptj": dict(model_type="gptj", n_layer=2, n_embd=32, n_head=4, n_positions=96, rotary_dim=6, vocab_size=67, n_inner=40),
    "gpt_neo": dict(model_type="gpt_neo", num_layers=3, hidden_size=32, num_heads=4, max_position_embeddings=96, vocab_size=67,
                    intermediate_size=40, window_size=5, attention_types=[[["global", "local"], 1], [["local"], 1]]),
    "falcon-7b": FALCON | dict(multi_query=True, parallel_attn=True),
    "falcon-rw": FALCON | dict(multi_query=False, parallel_attn=False, bias=True, alibi=True),
    "falcon-40b": FALCON | dict(new_decoder_architecture=True, num_kv_heads=2),
    "falcon-11b": FALCON | dict(new_decoder_architecture=True, num_kv_heads=2, num_ln_in_parallel_attn=1),
    "gemma": dict(model_type="gemma", num_hidden_layers=2, hidden_size=32, intermediate_size=40, num_attention_heads=4,
                  num_key_value_heads=1, head_dim=12, max_position_embeddings=96, vocab_size=67, pad_token_id=17),
    # Softcaps so low that they bend.
    "gemma2": dict(model_type="gemma2", num_hidden_layers=3, hidden_size=32, intermediate_size=40, num_attention_heads=4,
                   num_key_value_heads=2, head_dim=12, max_position_embeddings=96, vocab_size=67, pad_token_id=17,
                   query_pre_attn_scalar=20, sliding_window=6, attn_logit_softcapping=3.0, final_logit_softcapping=6.0),
    "gemma3": dict(model_type="gemma3_text", num_hidden_layers=4, hidden_size=32, intermediate_size=40, num_attention_heads=4,
                   num_key_value_heads=2, head_dim=12, max_position_embeddings=96, vocab_size=67, pad_token_id=17,
                   query_pre_attn_scalar=20, sliding_window=6, final_logit_softcapping=12.0,
                   layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"],
                   rope_parameters=dict(sliding_attention=dict(rope_type="default", rope_theta=50.0),
                                        full_attention=dict(rope_type="linear", factor=4.0, rope_theta=9000.0))),
    "mixtral": MOE | dict(model_type="mixtral", num_hidden_layers=2, intermediate_size=24, num_local_experts=5,
                          num_experts_per_tok=2, sliding_window=9, rope_theta=700.0),
    # Layer 1 of 3 has experts alone.
    "qwen2_moe": MOE | dict(model_type="qwen2_moe", intermediate_size=40, moe_intermediate_size=24,
                            shared_expert_intermediate_size=32, num_experts=6, num_experts_per_tok=3, norm_topk_prob=True,
                            decoder_sparse_step=2),
    "qwen2_moe-all": MOE | dict(model_type="qwen2_moe", intermediate_size=40, moe_intermediate_size=24,
                                shared_expert_intermediate_size=32, num_experts=6, num_experts_per_tok=3, norm_topk_prob=False,
                                mlp_only_layers=[1], qkv_bias=False, output_router_logits=False),
    # What a GGUF file can say of one: experts in every layer, their shares as they are.
    "qwen2_moe-every": MOE | dict(model_type="qwen2_moe", num_hidden_layers=2, intermediate_size=40, moe_intermediate_size=24,
                                  shared_expert_intermediate_size=32, num_experts=6, num_experts_per_tok=3,
                                  norm_topk_prob=False, output_router_logits=False),
}
SEED = 7
DATA_TOKENS = 30000


def make_model(folder, arch, std, dtype=torch.float32, seed=SEED, **save_options):
    """Random weights in which nothing is an identity: biases and norm weights are drawn as well. A `std` of 0.03 trains
    smoothly, which bf16 curves need to be comparable; 0.15 makes attention far from uniform, which logits need; 0.3 moves the
    likeliest token away from the next one, which continuations need. Stored as bf16 a model is half as large and still one set of
    fp32 weights."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**(ARCHS | FAMILIES)[arch]))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() >= 2:
                weight.normal_(0.0, std)
            elif name.endswith("bias"):
                weight.normal_(0.0, 0.05)
            else:
                counted_from_one = model.config.model_type.startswith("gemma")
                weight.normal_(0.0 if counted_from_one else 1.0, 0.1)
    model.to(dtype).save_pretrained(folder, **save_options)
    for extra in pathlib.Path(folder).glob("generation_config.json"):
        extra.unlink()


def add_positions(folder, count, seed=SEED):
    """GPT-2 with more learned positions than those that it was drawn with: what reads only the first ones stays the same."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    old = model.transformer.wpe.weight.data
    more = torch.empty(count - len(old), old.shape[1]).normal_(0.0, old.std().item(), generator=torch.Generator().manual_seed(seed))
    model.config.n_positions = count
    model.transformer.wpe = torch.nn.Embedding.from_pretrained(torch.cat([old, more]), freeze=False)
    model.save_pretrained(folder)
    (pathlib.Path(folder) / "generation_config.json").unlink(missing_ok=True)


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
