"""How llama.cpp's converter (github.com/ggml-org/llama.cpp, conversion/) lays Hugging Face models out in GGUF files: names by
the gguf package, keys, orders of rows, types of elements. Imported by make_weight_files.py.

GPT-J has no converter there: its names are the gguf package's, its keys those of ggml's docs/gguf.md.
"""
import collections
import math
import re

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type

# model_type: llama.cpp's name, gguf's enumeration
ARCHITECTURES = {
    "llama": ("llama", gguf.MODEL_ARCH.LLAMA),
    "mistral": ("llama", gguf.MODEL_ARCH.LLAMA),
    "mixtral": ("llama", gguf.MODEL_ARCH.LLAMA),
    "qwen2": ("qwen2", gguf.MODEL_ARCH.QWEN2),
    "qwen2_moe": ("qwen2moe", gguf.MODEL_ARCH.QWEN2MOE),
    "qwen3": ("qwen3", gguf.MODEL_ARCH.QWEN3),
    "gemma": ("gemma", gguf.MODEL_ARCH.GEMMA),
    "gemma2": ("gemma2", gguf.MODEL_ARCH.GEMMA2),
    "gemma3_text": ("gemma3", gguf.MODEL_ARCH.GEMMA3),
    "phi": ("phi2", gguf.MODEL_ARCH.PHI2),
    "phi3": ("phi3", gguf.MODEL_ARCH.PHI3),
    "gpt2": ("gpt2", gguf.MODEL_ARCH.GPT2),
    "gptj": ("gptj", gguf.MODEL_ARCH.GPTJ),
    "gpt_neox": ("gptneox", gguf.MODEL_ARCH.GPTNEOX),
    "bloom": ("bloom", gguf.MODEL_ARCH.BLOOM),
    "falcon": ("falcon", gguf.MODEL_ARCH.FALCON),
    "bert": ("bert", gguf.MODEL_ARCH.BERT),
    "roberta": ("bert", gguf.MODEL_ARCH.BERT),
    "xlm-roberta": ("bert", gguf.MODEL_ARCH.BERT),
    "distilbert": ("bert", gguf.MODEL_ARCH.BERT),
}
ENCODERS = ("bert", "roberta", "xlm-roberta", "distilbert")
ALWAYS_WIDE = ("ffn_gate_inp.weight", "ffn_gate_inp_shexp.weight", "position_embd.weight", "token_types.weight")


def first(config, *keys):
    return next((config[key] for key in keys if config.get(key) is not None), None)


def rope_of(config):
    rope = config.get("rope_parameters") or {}
    return rope.get("full_attention", rope)


def head_dim(config):
    return config.get("head_dim") or first(config, "hidden_size", "n_embd", "dim") // head_count(config)


def head_count(config):
    return first(config, "num_attention_heads", "n_head", "n_heads")


def kv_head_count(config):
    if config["model_type"] == "falcon":
        return config["num_kv_heads"] if config["new_decoder_architecture"] else 1
    return config.get("num_key_value_heads") or head_count(config)


def position_offset(config):
    """Rows that the converter cuts off the table of positions."""
    return config["pad_token_id"] + 1 if config["model_type"] in ("roberta", "xlm-roberta") else 0


# ---- keys

def add_sizes(w, c):
    kind, width = c["model_type"], first(c, "hidden_size", "n_embd", "dim")
    w.add_context_length((first(c, "max_position_embeddings", "n_positions") or width) - position_offset(c))
    w.add_embedding_length(width)
    w.add_block_count(first(c, "num_hidden_layers", "n_layer", "n_layers"))
    w.add_feed_forward_length(first(c, "intermediate_size", "n_inner", "hidden_dim", "ffn_hidden_size") or 4 * width)
    w.add_head_count(head_count(c))
    if kind not in ("gpt2", "gptj", "gpt_neox", "distilbert"):
        w.add_head_count_kv(kv_head_count(c))
    if "rms_norm_eps" in c:
        w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    else:
        w.add_layer_norm_eps(first(c, "layer_norm_epsilon", "layer_norm_eps") or 1e-12)
    if c.get("head_dim"):
        w.add_key_length(head_dim(c))
        w.add_value_length(head_dim(c))


def add_rope(w, c):
    kind, rope = c["model_type"], rope_of(c)
    if kind == "gptj":
        w.add_rope_dimension_count(c["rotary_dim"])
        return
    if kind in ("gpt2", "bloom", "falcon", *ENCODERS):
        return
    share = c.get("partial_rotary_factor") or rope.get("partial_rotary_factor") or 1
    w.add_rope_dimension_count(int(head_dim(c) * share))
    if kind in ("phi", "gpt_neox"):  # the base is not said: it is 10000
        assert rope["rope_theta"] == 10000
        return
    w.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] in ("linear", "yarn"):
        w.add_rope_scaling_type(getattr(gguf.RopeScalingType, rope["rope_type"].upper()))
        w.add_rope_scaling_factor(rope["factor"])
        if rope["rope_type"] == "yarn":
            w.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
            w.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
            w.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])
    if rope["rope_type"] == "llama3":
        w.add_tensor("rope_freqs.weight", llama3_factors(c, rope))


def llama3_factors(c, rope):
    dim, factors = c["head_dim"], []
    low, high, original = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    for i in range(0, dim, 2):
        wave = 2 * math.pi * rope["rope_theta"] ** (i / dim)
        smooth = (original / wave - low) / (high - low)
        factors.append(1 if wave < original / high else rope["factor"] if wave > original / low else
                       1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, dtype=np.float32)


def add_gemma(w, c):
    if c["model_type"] == "gemma":
        return
    w.add_sliding_window(c["sliding_window"])
    if c.get("attn_logit_softcapping"):
        w.add_attn_logit_softcapping(c["attn_logit_softcapping"])
    if c.get("final_logit_softcapping"):
        w.add_final_logit_softcapping(c["final_logit_softcapping"])
    if c["model_type"] == "gemma3_text":
        w.add_uint32("gemma3.attention.sliding_window_pattern", c["layer_types"].index("full_attention") + 1)
        w.add_float32("gemma3.rope.freq_base_swa", c["rope_parameters"]["sliding_attention"]["rope_theta"])


def add_phi3(w, c):
    rope = rope_of(c)
    w.add_sliding_window(c["sliding_window"] or 0)
    original = rope.get("original_max_position_embeddings", c["original_max_position_embeddings"])
    w.add_rope_scaling_orig_ctx_len(original)
    if rope["rope_type"] == "longrope":
        scale = c["max_position_embeddings"] / original
        w.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(original)))
        w.add_tensor("rope_factors_long.weight", np.array(rope["long_factor"], dtype=np.float32))
        w.add_tensor("rope_factors_short.weight", np.array(rope["short_factor"], dtype=np.float32))


def add_experts(w, c):
    w.add_expert_count(first(c, "num_local_experts", "num_experts"))
    w.add_expert_used_count(c["num_experts_per_tok"])
    if c["model_type"] == "qwen2_moe":
        w.add_expert_feed_forward_length(c["moe_intermediate_size"])
        w.add_expert_shared_feed_forward_length(c["shared_expert_intermediate_size"])


def add_encoder(w, c):
    w.add_causal_attention(False)
    w.add_token_type_count(c.get("type_vocab_size", 1))
    labels = c.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})
    if len(labels) != 2 or labels["0"] != "LABEL_0":
        w.add_classifier_output_labels([label for _, label in sorted(labels.items())])


def add_keys(w, c):
    kind = c["model_type"]
    add_sizes(w, c)
    add_rope(w, c)
    if kind in ("llama", "mistral", "mixtral"):
        w.add_vocab_size(c["vocab_size"])
    if kind.startswith("gemma"):
        add_gemma(w, c)
    if kind == "phi3":
        add_phi3(w, c)
    if kind in ("mixtral", "qwen2_moe"):
        add_experts(w, c)
    if kind == "gpt_neox":
        w.add_parallel_residual(c["use_parallel_residual"])
    if kind == "falcon":
        w.add_tensor_data_layout("jploski")
    if kind in ENCODERS:
        add_encoder(w, c)


# ---- tensors

def merged_experts(tensors):
    """Experts' matrices stacked, under the names that the converter gives them then."""
    out, experts = {}, collections.defaultdict(dict)
    for name, values in tensors.items():
        found = re.match(r"model\.layers\.(\d+)\.(block_sparse_moe|mlp)\.experts\.(\d+)\.(\w+)\.weight", name)
        if not found:
            out[name] = values
            continue
        layer, block, number, which = found.groups()
        stem = f"layers.{layer}.feed_forward" if block == "block_sparse_moe" else f"model.layers.{layer}.mlp"
        experts[f"{stem}.experts.{which}.weight"][int(number)] = values
    for name, parts in experts.items():
        out[name] = torch.stack([parts[i] for i in range(len(parts))])
    return out


def encoder_tensors(tensors, c):
    """Without the heads that the converter leaves out: the masked language model's, and BERT's pooler."""
    for name, values in tensors.items():
        name = re.sub(r"^(bert|roberta|distilbert)\.", "", name)
        if name.startswith(("cls.", "pooler.", "lm_head.", "vocab_", "qa_outputs.", "pre_classifier.")):
            continue
        if name in ("classifier.weight", "classifier.bias"):
            continue  # RoBERTa's of tokens; BERT's stands on the pooler
        if name == "embeddings.position_embeddings.weight":
            values = values[position_offset(c):]
        yield name, values


def neighbours(weights, heads):
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def in_three(qkv, c):
    """From every key-value head's queries, key and value to all queries, all keys, all values."""
    groups, dim = kv_head_count(c), head_dim(c)
    parts = qkv.reshape(groups, -1, dim, *qkv.shape[1:])
    return np.concatenate([part.reshape(-1, *qkv.shape[1:]) for part in (parts[:, :-2], parts[:, -2:-1], parts[:, -1:])])


def stored(theirs, ours, values, c):
    """Values, and the type of elements, of the tensor `ours` that GGUF calls `theirs`."""
    kind, wide = c["model_type"], values.float().numpy()
    if kind.startswith("gemma") and ours.endswith("norm.weight"):
        wide = wide + np.float32(1)
    if kind in ("llama", "mistral", "mixtral") and ".q_proj." in ours:
        wide = neighbours(wide, head_count(c))
    if kind in ("llama", "mistral", "mixtral") and ".k_proj." in ours:
        wide = neighbours(wide, kv_head_count(c))
    if kind == "gpt2" and wide.ndim == 2 and ".h." in ours:
        wide = np.ascontiguousarray(wide.T)
    if theirs.endswith("ffn_gate_inp_shexp.weight"):
        wide = wide[0]  # ggml's shapes end where only ones follow, and llama-quantize writes them so
    if "query_key_value" in ours:
        wide = in_three(wide, c)
    if wide.ndim == 1 or theirs.endswith(ALWAYS_WIDE) or values.dtype == torch.float32:
        return wide, Type.F32
    return wide, Type.BF16


def add_tensors(w, tensors, c):
    names = gguf.get_tensor_name_map(ARCHITECTURES[c["model_type"]][1], first(c, "num_hidden_layers", "n_layer", "n_layers"))
    encoder = c["model_type"] in ENCODERS
    for name, values in encoder_tensors(tensors, c) if encoder else merged_experts(tensors).items():
        theirs = names.get_name(name, try_suffixes=(".weight", ".bias")) or names.get_name(
            name.removeprefix("transformer."), try_suffixes=(".weight", ".bias"))
        assert theirs, name
        wide, kind = stored(theirs, name, values, c)
        w.add_tensor(theirs, gguf.quantize(wide, kind), raw_dtype=kind)


def write(path, tensors, c, tokenizer=lambda writer: None):
    w = gguf.GGUFWriter(path, ARCHITECTURES[c["model_type"]][0])
    add_keys(w, c)
    tokenizer(w)
    add_tensors(w, tensors, c)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
