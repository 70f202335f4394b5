"""PyTorch and GGUF files of the tiny models of tests/parity, laid out as llama.cpp's convert_hf_to_gguf.py does, and one of
quantized blocks with the logits that transformers makes of it.

  $(benchmarks/peers/env.sh ds)/bin/python tests/models/make_weight_files.py

Made with gguf 0.19.0 and transformers 5.23.0. transformers' own GGUF loader must find the weights of the folder in
each file of an architecture that it knows: so a mistake here is not taken for the format.

goldens/gguf/NAME.gguf     the model NAME-sharp
goldens/gguf/blocks.gguf   a LLaMA with a tensor of every quantized type
goldens/gguf/blocks.json   its input ids and logits
goldens/tokenizer.json     what llama.gguf says of its tokens: every byte, "th", beginning and end
goldens/torch              llama3-sharp as pytorch_model.bin, some of its tensors transposed in memory
"""
import json
import math
import pathlib

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig

HERE = pathlib.Path(__file__).resolve().parent
MODELS = HERE.parent / "parity" / "goldens" / "models"
OUT = HERE / "goldens" / "gguf"
TOKENIZER = HERE / "goldens" / "tokenizer.json"
TEMPLATE = ("{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}"
            "{% if add_generation_prompt %}<assistant>{% endif %}")
# model_type: llama.cpp's name, gguf's enumeration, whether queries' and keys' rows are reordered
ARCHITECTURES = {
    "llama": ("llama", gguf.MODEL_ARCH.LLAMA, True),
    "mistral": ("llama", gguf.MODEL_ARCH.LLAMA, True),
    "qwen2": ("qwen2", gguf.MODEL_ARCH.QWEN2, False),
    "qwen3": ("qwen3", gguf.MODEL_ARCH.QWEN3, False),
    "gemma": ("gemma", gguf.MODEL_ARCH.GEMMA, False),
    "gemma2": ("gemma2", gguf.MODEL_ARCH.GEMMA2, False),
    "gemma3_text": ("gemma3", gguf.MODEL_ARCH.GEMMA3, False),
    "phi3": ("phi3", gguf.MODEL_ARCH.PHI3, False),
    "gpt2": ("gpt2", gguf.MODEL_ARCH.GPT2, False),
}
NAMES = ["llama", "llama3", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi3", "phi3-longrope", "gpt2"]
# Its loader knows no Gemma 1, and a Mistral only as the LLaMA that the file says it is.
UNKNOWN_TO_TRANSFORMERS = ["gemma", "mistral"]


def weights_of(folder):
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors.update(load_file(path))
    return tensors


def permute(weights, heads):
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def rope_of(config):
    rope = config.get("rope_parameters") or {}
    return rope.get("full_attention", rope)


def add_sizes(w, c):
    heads = c.get("num_attention_heads", c.get("n_head"))
    w.add_context_length(c.get("max_position_embeddings", c.get("n_positions")))
    w.add_embedding_length(c.get("hidden_size", c.get("n_embd")))
    w.add_vocab_size(c["vocab_size"])
    w.add_block_count(c.get("num_hidden_layers", c.get("n_layer")))
    w.add_feed_forward_length(c.get("intermediate_size") or c.get("n_inner") or 4 * c["n_embd"])
    w.add_head_count(heads)
    if c["model_type"] == "gpt2":
        w.add_layer_norm_eps(c["layer_norm_epsilon"])
        return
    w.add_head_count_kv(c["num_key_value_heads"])
    w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    dim = c.get("head_dim") or c["hidden_size"] // heads
    if c.get("head_dim"):
        w.add_key_length(dim)
        w.add_value_length(dim)
    rope = rope_of(c)
    w.add_rope_dimension_count(int(dim * (c.get("partial_rotary_factor") or 1)))
    w.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] in ("linear", "yarn"):
        w.add_rope_scaling_type(getattr(gguf.RopeScalingType, rope["rope_type"].upper()))
        w.add_rope_scaling_factor(rope["factor"])


def add_family(w, c):
    kind, rope = c["model_type"], rope_of(c)
    if kind in ("gemma2", "gemma3_text"):
        w.add_sliding_window(c["sliding_window"])
        if c.get("attn_logit_softcapping"):
            w.add_attn_logit_softcapping(c["attn_logit_softcapping"])
        if c.get("final_logit_softcapping"):
            w.add_final_logit_softcapping(c["final_logit_softcapping"])
    if kind == "gemma3_text":
        w.add_uint32("gemma3.attention.sliding_window_pattern", c["layer_types"].index("full_attention") + 1)
        w.add_float32("gemma3.rope.freq_base_swa", c["rope_parameters"]["sliding_attention"]["rope_theta"])
    if kind == "phi3":
        w.add_sliding_window(c["sliding_window"] or 0)
        original = rope.get("original_max_position_embeddings", c["original_max_position_embeddings"])
        w.add_rope_scaling_orig_ctx_len(original)
        if rope["rope_type"] == "longrope":
            scale = c["max_position_embeddings"] / original
            w.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(original)))
            w.add_tensor("rope_factors_long.weight", np.array(rope["long_factor"], dtype=np.float32))
            w.add_tensor("rope_factors_short.weight", np.array(rope["short_factor"], dtype=np.float32))
    if rope.get("rope_type") == "llama3":
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


def write_tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    words = ["th", "<s>", "</s>"] + sorted(pre_tokenizers.ByteLevel.alphabet())
    t = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[("t", "h")]))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens(words[1:3])
    t.save(str(TOKENIZER))


def add_tokenizer(w):
    """The tokenizer above, for the model whose vocabulary is as large."""
    vocabulary = json.loads(TOKENIZER.read_text())
    tokens = dict(vocabulary["model"]["vocab"])
    special = {t["content"]: t["id"] for t in vocabulary["added_tokens"]}
    ordered = sorted(tokens, key=tokens.get)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(ordered)
    w.add_token_types([gguf.TokenType.CONTROL if t in special else gguf.TokenType.NORMAL for t in ordered])
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in vocabulary["model"]["merges"]])
    w.add_bos_token_id(tokens["<s>"])
    w.add_eos_token_id(tokens["</s>"])
    w.add_add_bos_token(False)
    w.add_chat_template(TEMPLATE)


def stored(name, ours, values, c, reorder):
    """As the converter stores it: values and the type of elements."""
    wide = values.float().numpy()
    if c["model_type"].startswith("gemma") and name.endswith("norm.weight"):
        wide = wide + np.float32(1)
    if reorder and ".q_proj." in name:
        wide = permute(wide, c["num_attention_heads"])
    if reorder and ".k_proj." in name:
        wide = permute(wide, c["num_key_value_heads"])
    if c["model_type"] == "gpt2" and wide.ndim == 2 and ".h." in name:
        wide = np.ascontiguousarray(wide.T)
    if wide.ndim == 1 or values.dtype == torch.float32:
        return wide, Type.F32
    return wide, Type.BF16


def write(folder, path):
    c = json.loads((folder / "config.json").read_text())
    architecture, known, reorder = ARCHITECTURES[c["model_type"]]
    layers = c.get("num_hidden_layers", c.get("n_layer"))
    names = gguf.get_tensor_name_map(known, layers)
    w = gguf.GGUFWriter(path, architecture)
    add_sizes(w, c)
    add_family(w, c)
    if path.stem == "llama":
        add_tokenizer(w)
    for name, values in weights_of(folder).items():
        theirs = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert theirs, name
        wide, kind = stored(name, theirs, values, c, reorder)
        w.add_tensor(theirs, gguf.quantize(wide, kind), raw_dtype=kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def check(name, path):
    """transformers finds the same weights in the file."""
    folder = MODELS / f"{name}-sharp"
    ours = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
    theirs = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32,
                                                  config=AutoConfig.from_pretrained(folder)).state_dict()
    for key, values in ours.items():
        difference = (values - theirs[key]).abs().max().item()
        assert difference < 1e-6, (name, key, difference)


# ---- quantized blocks

KINDS = {"attn_q": Type.Q4_0, "attn_k": Type.Q5_0, "attn_v": Type.Q6_K, "attn_output": Type.Q4_K, "ffn_gate": Type.Q5_K,
         "ffn_up": Type.Q8_0, "ffn_down": Type.Q4_K, "token_embd": Type.Q8_0, "output": Type.Q6_K}
SCALES = {Type.Q4_0: [0], Type.Q5_0: [0], Type.Q8_0: [0], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208]}


def blocks(kind, rows, columns, rng):
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    data = rng.integers(0, 256, (rows * columns // elements, size), dtype=np.uint8)
    # scales that make weights of about 0.05
    largest = {Type.Q4_0: 8, Type.Q5_0: 16, Type.Q8_0: 128, Type.Q4_K: 63 * 15, Type.Q5_K: 63 * 31, Type.Q6_K: 127 * 32}[kind]
    for at in SCALES[kind]:
        scale = (rng.uniform(0.05, 0.12, len(data)) / largest).astype("<f2")
        data[:, at:at + 2] = scale.view(np.uint8).reshape(-1, 2)
    return data.reshape(rows, -1)


def write_blocks(path):
    rng = np.random.default_rng(11)
    c = LlamaConfig(vocab_size=64, hidden_size=256, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
                    intermediate_size=256, max_position_embeddings=64, rope_theta=500.0).to_dict()
    c["head_dim"] = 64
    w = gguf.GGUFWriter(path, "llama")
    add_sizes(w, c)
    shapes = {"attn_q": (256, 256), "attn_k": (128, 256), "attn_v": (128, 256), "attn_output": (256, 256),
              "ffn_gate": (256, 256), "ffn_up": (256, 256), "ffn_down": (256, 256)}
    w.add_tensor("token_embd.weight", blocks(KINDS["token_embd"], 64, 256, rng), raw_dtype=KINDS["token_embd"])
    w.add_tensor("output.weight", blocks(KINDS["output"], 64, 256, rng), raw_dtype=KINDS["output"])
    for name, shape in shapes.items():
        w.add_tensor(f"blk.0.{name}.weight", blocks(KINDS[name], *shape, rng), raw_dtype=KINDS[name])
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        w.add_tensor(f"{name}.weight", rng.uniform(0.5, 1.5, 256).astype(np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def logits_of(path):
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32,
                                                 attn_implementation="eager")
    ids = [[3, 60, 17, 5, 5, 41, 0, 22, 9, 33, 12, 63]]
    with torch.no_grad():
        logits = model(torch.tensor(ids)).logits[0]
    return {"ids": ids[0], "logits": [[float(f"{x:.8g}") for x in row] for row in logits.tolist()]}


def write_torch(folder, out):
    tensors = weights_of(folder)
    for name in tensors:
        if "layers.0." in name and tensors[name].dim() == 2:
            tensors[name] = tensors[name].t().contiguous().t()
    out.mkdir(parents=True, exist_ok=True)
    torch.save(tensors, out / "pytorch_model.bin")
    (out / "config.json").write_text((folder / "config.json").read_text())


def main():
    write_tokenizer()
    write_torch(MODELS / "llama3-sharp", HERE / "goldens" / "torch")
    OUT.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        path = OUT / f"{name}.gguf"
        write(MODELS / f"{name}-sharp", path)
        if name not in UNKNOWN_TO_TRANSFORMERS:
            check(name, path)
    path = OUT / "blocks.gguf"
    write_blocks(path)
    (OUT / "blocks.json").write_text(json.dumps(logits_of(path)) + "\n")


if __name__ == "__main__":
    main()
