"""PyTorch and GGUF files of the tiny models of tests/parity, laid out as llama.cpp's converter does (llama_cpp.py), and one of
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
import pathlib

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig

import llama_cpp

HERE = pathlib.Path(__file__).resolve().parent
MODELS = HERE.parent / "parity" / "goldens" / "models"
OUT = HERE / "goldens" / "gguf"
TOKENIZER = HERE / "goldens" / "tokenizer.json"
TEMPLATE = ("{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}"
            "{% if add_generation_prompt %}<assistant>{% endif %}")
NAMES = ["llama", "llama-linear", "llama-yarn", "llama3", "mistral", "mixtral", "qwen2", "qwen2_moe-every", "qwen3", "gemma", "gemma2",
         "gemma3", "phi-2", "phi3", "phi3-longrope", "gpt2", "gptj", "gpt_neox", "bloom", "falcon-7b", "falcon-11b", "falcon-40b",
         "bert", "roberta", "xlm_roberta", "distilbert"]
# Its loader knows these not at all, Mistral and Mixtral only as the LLaMA that the file says they are, and leaves queries, keys and
# values of Falcons with several key-value heads in llama.cpp's order.
UNKNOWN_TO_TRANSFORMERS = ["gemma", "mistral", "mixtral", "phi-2", "gptj", "gpt_neox", "falcon-11b", "falcon-40b", "bert", "roberta",
                           "xlm_roberta", "distilbert"]


def weights_of(folder):
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors.update(load_file(path))
    return tensors


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


def write(folder, path):
    c = json.loads((folder / "config.json").read_text())
    llama_cpp.write(path, weights_of(folder), c, add_tokenizer if path.stem == "llama" else lambda w: None)


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
    llama_cpp.add_keys(w, c)
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
