"""Two of the encoders that make_task_goldens.py makes, as llama.cpp's converter writes them (tests/models/llama_cpp.py), with
their tokenizers: a sentence encoder and a classifier.

  $(benchmarks/peers/env.sh ds)/bin/python tests/inference/make_gguf_encoders.py

Made with gguf 0.19.0 and transformers 5.23.0.
goldens/gguf/NAME.gguf    the model goldens/models/NAME
"""
import json
import pathlib
import sys

import gguf
from safetensors.torch import load_file
from transformers import AutoTokenizer

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "models"))
import llama_cpp  # noqa: E402

MODELS = HERE / "goldens" / "models"
OUT = HERE / "goldens" / "gguf"


def vocabulary(folder):
    """Tokens in their order, and what they are."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    ordered = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    return ([token for token, _ in ordered],
            [gguf.TokenType.CONTROL if i in special else gguf.TokenType.NORMAL for _, i in ordered])


def add_special(w, folder, count, merges):
    gguf.SpecialVocab(folder, load_merges=merges, n_vocab=count).add_to_gguf(w, quiet=True)


def add_word_piece(w, folder):
    tokens, types = vocabulary(folder)

    def phantom(token, kind):
        if kind == gguf.TokenType.CONTROL:
            return token
        return token[2:] if token.startswith("##") else "\u2581" + token

    w.add_tokenizer_model("bert")
    w.add_tokenizer_pre("default")
    w.add_token_list([phantom(*pair) for pair in zip(tokens, types)])
    w.add_token_types(types)
    add_special(w, folder, len(tokens), merges=False)


def add_byte_level(w, folder):
    tokens, types = vocabulary(folder)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("roberta-bpe")
    w.add_token_list(tokens)
    w.add_token_types(types)
    add_special(w, folder, len(tokens), merges=True)


def write(name, add_tokenizer, pooling=None):
    folder = MODELS / name

    def add(w):
        add_tokenizer(w, folder)
        if pooling is not None:
            w.add_pooling_type(pooling)

    llama_cpp.write(OUT / f"{name}.gguf", load_file(folder / "model.safetensors"),
                    json.loads((folder / "config.json").read_text()), add)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    write("bert-vectors", add_word_piece, gguf.PoolingType.MEAN)
    write("roberta-classes", add_byte_level)


if __name__ == "__main__":
    main()
