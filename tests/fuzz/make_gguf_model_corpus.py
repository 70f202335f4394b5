"""Seeds of gguf_model_fuzz: what the GGUF files of tests/models and tests/inference say, with next to no weights, and a few
that contradict themselves.

  $(benchmarks/peers/env.sh ds)/bin/python tests/fuzz/make_gguf_model_corpus.py    (gguf 0.19.0)
"""
import pathlib

import gguf
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE / "corpus" / "gguf_model"
FILES = [*sorted((HERE.parent / "models/goldens/gguf").glob("*.gguf")), *sorted((HERE.parent / "inference/goldens/gguf").glob("*.gguf"))]
COPIED = ("blk.0.ffn_gate_inp.weight", "token_types.weight", "rope_freqs.weight", "rope_factors_long.weight",
          "rope_factors_short.weight")


def read(path):
    """Architecture, {key: (value, type, element type)} and the tensors that say something of the model."""
    reader = gguf.GGUFReader(path)
    values = {}
    for key, field in reader.fields.items():
        if not key.startswith("GGUF."):
            values[key] = (field.contents(), field.types[0], field.types[-1] if len(field.types) > 1 else None)
    tensors = {t.name: np.array(t.data, dtype=np.float32) for t in reader.tensors if t.name in COPIED}
    return values.pop("general.architecture")[0], values, tensors


def write(name, architecture, values, tensors):
    w = gguf.GGUFWriter(OUT / name, architecture)
    for key, (value, kind, element) in values.items():
        w.add_key_value(key, value, kind, element)
    width = values[f"{architecture}.embedding_length"][0]
    w.add_tensor("token_embd.weight", np.ones((1, width), dtype=np.float32))
    for layer in range(values[f"{architecture}.block_count"][0]):
        w.add_tensor(f"blk.{layer}.attn_norm.weight", np.ones(1, dtype=np.float32))
    for tensor, data in tensors.items():
        w.add_tensor(tensor, data)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def contradictions(values):
    """Of a file with a tokenizer."""
    kinds = gguf.GGUFValueType
    for name, changes in {
        "end_outside": {"tokenizer.ggml.eos_token_id": (1 << 31, kinds.UINT32, None)},
        "types_too_few": {"tokenizer.ggml.token_type": ([1, 3], kinds.ARRAY, kinds.INT32)},
        "types_unknown": {"tokenizer.ggml.token_type": ([77] * len(values["tokenizer.ggml.tokens"][0]), kinds.ARRAY, kinds.INT32)},
        "tokens_twice": {"tokenizer.ggml.tokens": (["a", "a"], kinds.ARRAY, kinds.STRING)},
        "scored": {"tokenizer.ggml.model": ("llama", kinds.STRING, None)},
        "pieces": {"tokenizer.ggml.model": ("t5", kinds.STRING, None),
                   "tokenizer.ggml.precompiled_charsmap": ([255, 255, 255, 255, 0], kinds.ARRAY, kinds.UINT8)},
        "template_endless": {"tokenizer.chat_template": ("{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
                                                         kinds.STRING, None)},
        "heads_none": {"llama.attention.head_count": (0, kinds.UINT32, None)},
        "experts_many": {"llama.expert_count": (1 << 30, kinds.UINT32, None), "llama.expert_used_count": (2, kinds.UINT32, None)},
    }.items():
        yield name, {**values, **changes}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for path in FILES:
        architecture, values, tensors = read(path)
        write(path.stem, architecture, values, tensors)
        if path.stem == "llama":
            for name, changed in contradictions(values):
                write(name, architecture, changed, tensors)


if __name__ == "__main__":
    main()
