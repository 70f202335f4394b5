#!/usr/bin/env python3
"""Writes tests/text/goldens/kinds/arrays.json: vocabularies as arrays, as GGUF files hold them, and what SentencePiece and
tokenizers make of random lines with them.

    python3 -m venv /tmp/tok && /tmp/tok/bin/pip install tokenizers==0.23.3 sentencepiece==0.2.3 protobuf
    /tmp/tok/bin/python tests/parity/tokenizer/make_arrays.py tests/text/goldens
"""
import base64
import json
import os
import sys
import tempfile
import zlib
from array import array
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import Regex, Tokenizer, models, normalizers

import random_lines

LINES = 3000


def crc(all_ids):
    value = 0
    for ids in all_ids:
        value = zlib.crc32(array("I", [len(ids), *ids]).tobytes(), value)
    return f"{value:08x}"


def sentence_piece(text, **options):
    with tempfile.TemporaryDirectory() as folder:
        path, prefix = os.path.join(folder, "text"), os.path.join(folder, "m")
        with open(path, "w") as file:
            file.write("\n".join(text))
        sentencepiece.SentencePieceTrainer.train(input=path, model_prefix=prefix, vocab_size=700, minloglevel=2,
                                                 hard_vocab_limit=False, byte_fallback=True, **options)
        model = pb.ModelProto()
        model.ParseFromString(open(prefix + ".model", "rb").read())
    return sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString()), model


def entry(model, processor, kind, lines):
    return {"model": kind, "tokens": [p.piece for p in model.pieces], "scores": [p.score for p in model.pieces],
            "types": [p.type for p in model.pieces], "unknown": processor.unk_id(), "bos": processor.bos_id(),
            "eos": processor.eos_id(), "add_space_prefix": model.normalizer_spec.add_dummy_prefix,
            "remove_extra_whitespaces": model.normalizer_spec.remove_extra_whitespaces,
            "charsmap": base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode() if kind == "t5" else "",
            "lines": crc([processor.encode(line) for line in lines])}


def main():
    folder = Path(sys.argv[1])
    text = folder.joinpath("genesis.txt").read_text().split("\n")[:250]
    words = [" ".join(random_lines.PARTS["words"])] * 5
    # Control tokens and bytes are found in texts here, but not by SentencePiece; nor does it begin anew behind a symbol
    # that users defined. Markers are spaces to it.
    lines = [line for line in random_lines.lines(LINES, seed=4)
             if not any(text in line for text in ("<s>", "</s>", "<unk>", "<mask>", "<0x", "\u2581", "\0"))]
    out = {"lines": lines[:400], "entries": {}}
    lines = out["lines"]
    processor, model = sentence_piece(text + words, model_type="bpe", normalization_rule_name="identity",
                                      remove_extra_whitespaces=False, user_defined_symbols=["<mask>"])
    out["entries"]["llama"] = entry(model, processor, "llama", lines)
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        rules.write("FF21\t41\nFB01\t66 69\n3000\t20\n9\t20\nA\t20\nD\t20\n2460\t31\n65 301\tE9\n")
        rules.flush()
        processor, model = sentence_piece(text + words, model_type="unigram", normalization_rule_tsv=rules.name)
    out["entries"]["t5"] = entry(model, processor, "t5", lines)
    # Precompiled cuts its text otherwise than SentencePiece; transformers, which has it, is the one to follow
    spec = model.normalizer_spec
    t5 = Tokenizer(models.Unigram([(p.piece, p.score) for p in model.pieces], unk_id=processor.unk_id(), byte_fallback=True))
    t5.normalizer = normalizers.Sequence([normalizers.Precompiled(spec.precompiled_charsmap), normalizers.Strip(),
                                          normalizers.Replace(Regex(" {2,}"), " "), normalizers.Prepend("\u2581"),
                                          normalizers.Replace(" ", "\u2581")])
    out["entries"]["t5"]["lines"] = crc([t5.encode(line).ids for line in lines])
    for name, kind, pre in (("roberta", "gpt2", "gpt-2"), ("falcon", "gpt2", "falcon"), ("bloom", "gpt2", "bloom")):
        document = json.loads((folder / "kinds" / f"{name}.json").read_text())
        document["post_processor"] = None
        document["pre_tokenizer"] = document["pre_tokenizer"] if name != "roberta" else {
            "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True}
        for token in document["added_tokens"]:
            token["lstrip"] = False
        tokenizer = Tokenizer.from_str(json.dumps(document))
        special = {t["id"] for t in document["added_tokens"]}
        tokens = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
        out["entries"][name] = {"model": kind, "pre": pre, "tokens": tokens, "merges": [" ".join(m) for m in document["model"]["merges"]],
                                "types": [3 if i in special else 1 for i in range(len(tokens))],
                                "lines": crc([tokenizer.encode(line).ids for line in lines])}
    document = json.loads((folder / "kinds" / "bert.json").read_text())
    tokenizer = Tokenizer.from_str(json.dumps(document))
    tokens = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    special = {t["id"] for t in document["added_tokens"]}
    out["entries"]["bert"] = {
        "model": "bert", "types": [3 if i in special else 1 for i in range(len(tokens))], "unknown": 1, "bos": 2, "separator": 3,
        "tokens": [t if i in special else t[2:] if t.startswith("##") else "\u2581" + t for i, t in enumerate(tokens)],
        "lines": crc([tokenizer.encode(line).ids for line in lines])}
    (folder / "kinds" / "arrays.json").write_text(json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
