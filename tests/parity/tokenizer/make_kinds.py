#!/usr/bin/env python3
"""Writes tests/text/goldens/kinds/: a tokenizer of each kind that model families use, and what tokenizers==0.23.3 makes
of random lines (random_lines.py) with them; every normalizer and pre-tokenizer alone; pairs, truncation and padding.

    python3 -m venv /tmp/tok && /tmp/tok/bin/pip install tokenizers==0.23.3 sentencepiece==0.2.3
    /tmp/tok/bin/python tests/parity/tokenizer/make_kinds.py tests/text/goldens

A record is that of make_goldens.py. A digest is the CRC-32 of the records of 500 consecutive lines, or of 4096 code
points.
"""
import base64
import json
import random
import sys
import unicodedata
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import random_lines
from make_goldens import digest, dump
from make_normalizer_tables import precompiled

LINES, BLOCK = 100_000, 500
VOCABULARY = 700
MARK = "\u2581"
BLOOM = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"
BYTES = [f"<0x{b:02X}>" for b in range(256)]


def charsmap():
    """A small map in the manner of nmt_nfkc: compatibility characters, letters with marks, spaces, what goes away."""
    rng = random.Random(11)
    rules = {}
    points = [p for p in range(0xA0, 0x10000) if not 0xD800 <= p <= 0xDFFF]
    compatible = [p for p in points if unicodedata.normalize("NFKC", chr(p)) != chr(p)]
    for p in rng.sample(compatible, 700) + [0xBD, 0xFB01, 0x2460, 0x338F, 0xFF21, 0xFF22, 0xFF23, 0x3000, 0xA0]:
        rules[chr(p)] = unicodedata.normalize("NFKC", chr(p))
    for p in rng.sample([p for p in points if len(unicodedata.normalize("NFD", chr(p))) == 2], 300):
        rules[unicodedata.normalize("NFD", chr(p))] = chr(p)
    rules.update({c: " " for c in "\t\n\r\u200b\u2028\u1680\ufeff"} | {chr(c): "" for c in [*range(1, 9), 0x7F, 0xAD]})
    rules.update({"e\u0301": "\u00e9", "\u00b2": "2", "\u0600": "", "\u0605": "x", "\u00a9": "(c)"})
    return precompiled({k: v for k, v in rules.items() if k != v})


def template(tokenizer, single, pair, *tokens):
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[(t, tokenizer.token_to_id(t)) for t in tokens])


def bpe(texts, special, **options):
    def make(normalizer, pre, trained_pre=None):
        tokenizer = Tokenizer(models.BPE(unk_token=special[0], **options))
        if normalizer:
            tokenizer.normalizer = normalizer
        tokenizer.pre_tokenizer = trained_pre or pre or pre_tokenizers.Metaspace()
        extra = BYTES if options.get("byte_fallback") else []
        trainer = trainers.BpeTrainer(vocab_size=VOCABULARY + len(extra), special_tokens=special + extra, show_progress=False,
                                      limit_alphabet=250, min_frequency=2)
        tokenizer.train_from_iterator(texts, trainer)
        document = json.loads(tokenizer.to_str())
        document["added_tokens"] = [t for t in document["added_tokens"] if t["content"] not in extra]
        if pre is None:
            document["pre_tokenizer"] = None
        return Tokenizer.from_str(json.dumps(document))
    return make


def unigram(texts, special, unknown, normalizer, pre, byte_fallback=False):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre
    trainer = trainers.UnigramTrainer(vocab_size=VOCABULARY, special_tokens=special, unk_token=unknown, show_progress=False)
    common = random_lines.PARTS["words"]
    tokenizer.train_from_iterator([t for t in texts if t.isascii()] + [" ".join(common)] * 5, trainer)
    document = json.loads(tokenizer.to_str())
    if byte_fallback:
        document["model"]["byte_fallback"] = True
        document["model"]["vocab"] += [[token, -20.0] for token in BYTES]
    return Tokenizer.from_str(json.dumps(document))


def sentence_piece_decoder(strip):
    steps = [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence(steps + ([decoders.Strip(" ", 1, 0)] if strip else []))


def kinds(texts):
    spaces = normalizers.Replace(" ", MARK)
    special = ["<unk>", "<s>", "</s>"]
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    out = {}

    t = out["llama"] = bpe(texts, special, byte_fallback=True, fuse_unk=True)(
        normalizers.Sequence([normalizers.Prepend(MARK), spaces]), None, pre_tokenizers.Split(MARK, "merged_with_next"))
    t.decoder = sentence_piece_decoder(True)
    template(t, "<s> $A", "<s> $A <s>:1 $B:1", "<s>")

    # merges across words, so that pieces cannot be cut before their markers
    t = out["llama_across"] = bpe(texts, special, byte_fallback=True)(
        normalizers.Sequence([normalizers.Prepend(MARK), spaces]), None, pre_tokenizers.Split("\n", "isolated"))
    t.decoder = sentence_piece_decoder(True)

    t = out["mistral"] = bpe(texts, special, byte_fallback=True, fuse_unk=True, ignore_merges=True)(
        None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False), pre_tokenizers.Metaspace(prepend_scheme="first"))
    t.decoder = sentence_piece_decoder(True)
    t.add_tokens([AddedToken("[MASK]", normalized=False), AddedToken("ab")])

    t = out["gemma"] = bpe(texts, special + ["<mask>"], byte_fallback=True, fuse_unk=True)(
        spaces, pre_tokenizers.Split(" ", "merged_with_previous"), pre_tokenizers.Split(MARK, "merged_with_next"))
    t.decoder = sentence_piece_decoder(False)
    t.add_tokens([AddedToken("\n\n", normalized=False), AddedToken(MARK * 2, normalized=False), AddedToken("<0x41>")])

    t = out["unknown"] = bpe(texts, special)(normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(),
                                             normalizers.Strip(True, True)]), pre_tokenizers.Whitespace())
    t = out["unknown_fused"] = bpe(texts, special, fuse_unk=True)(
        normalizers.Sequence([normalizers.NFKC(), normalizers.Nmt()]),
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("merged_with_previous"),
                                 pre_tokenizers.Metaspace(prepend_scheme="first")]))
    t.decoder = decoders.Metaspace(prepend_scheme="first")

    t = out["t5"] = unigram(texts, ["<pad>", "</s>", "<unk>"], "<unk>", normalizers.Sequence([charsmap(),
        normalizers.Strip(False, True), normalizers.Replace(Regex(" {2,}"), MARK)]),
        pre_tokenizers.Metaspace(prepend_scheme="always"))
    t.decoder = decoders.Metaspace()
    template(t, "$A </s>", "$A </s> $B </s>", "</s>")
    t.add_special_tokens(["<extra_id_0>"])

    t = out["xlmr"] = unigram(texts, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<unk>", charsmap(),
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]))
    t.decoder = decoders.Metaspace()
    template(t, "<s> $A </s>", "<s> $A </s> </s> $B </s>", "<s>", "</s>")
    t.add_special_tokens([AddedToken("<mask>", lstrip=True)])

    t = out["albert"] = unigram(texts, ["[CLS]", "[SEP]", "<unk>", "<pad>", "[MASK]"], "<unk>", normalizers.Sequence([
        normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(),
        normalizers.Lowercase(), charsmap()]), pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(),
        pre_tokenizers.Metaspace()]))
    t.decoder = decoders.Metaspace()
    template(t, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", "[CLS]", "[SEP]")

    t = out["unigram_bytes"] = unigram(texts, ["<unk>", "<s>", "</s>"], "<unk>", normalizers.NFKC(),
        pre_tokenizers.Metaspace(prepend_scheme="first", split=False), byte_fallback=True)
    t.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])

    def byte_bpe(pre, normalizer=None):
        t = Tokenizer(models.BPE())
        if normalizer:
            t.normalizer = normalizer
        t.pre_tokenizer = pre
        t.decoder = decoders.ByteLevel()
        t.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=["<|endoftext|>", "<s>", "</s>"],
                              initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
        return t

    out["falcon"] = byte_bpe(pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"),
        pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.Digits(False), pre_tokenizers.Split(
            Regex("[0-9][0-9][0-9]"), "isolated")]))
    out["bloom"] = byte_bpe(pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(BLOOM), "isolated"), byte_level]))
    out["bloom"].post_processor = processors.ByteLevel(trim_offsets=False)
    t = out["roberta"] = byte_bpe(pre_tokenizers.ByteLevel(add_prefix_space=True))
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1), True, True)
    t.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    t = out["neox"] = byte_bpe(pre_tokenizers.ByteLevel(add_prefix_space=False), normalizers.NFC())
    t.add_tokens([AddedToken("  "), AddedToken("   "), AddedToken("ab", single_word=True), AddedToken("the", rstrip=True)])
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True, add_prefix_space=False)])

    t = out["bert"] = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer, t.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece(cleanup=False)
    t.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=VOCABULARY, limit_alphabet=250, show_progress=False,
        special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    t.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return out


def bytes_model():
    """Shows the bytes and origins of whatever steps leave, and where a run of them ends."""
    return Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(BYTES)}, merges=[], byte_fallback=True))


def runs_model():
    return Tokenizer(models.Unigram([("<unk>", 0.0)], unk_id=0))


def steps():
    """(name, tokenizer) of every normalizer and pre-tokenizer alone."""
    n, p = normalizers, pre_tokenizers
    out = {}
    for name, step in {
            "NFC": n.NFC(), "NFD": n.NFD(), "NFKC": n.NFKC(), "NFKD": n.NFKD(), "Lowercase": n.Lowercase(),
            "StripAccents": n.StripAccents(), "Strip": n.Strip(), "StripLeft": n.Strip(True, False), "Nmt": n.Nmt(),
            "Bert": n.BertNormalizer(), "BertCased": n.BertNormalizer(lowercase=False), "Prepend": n.Prepend(MARK + "x"),
            "ReplaceText": n.Replace(" ", MARK), "ReplacePattern": n.Replace(Regex(r"\s+|[aeiou]{2,}"), "<>"),
            "ReplaceNothing": n.Replace(Regex(r"[\p{L}]"), ""), "Precompiled": charsmap(),
            "Accents": n.Sequence([n.NFD(), n.StripAccents()]), "AllOfThem": n.Sequence([n.NFKD(), n.StripAccents(),
                n.Lowercase(), n.Replace("a", "bcd"), n.Strip(), charsmap(), n.NFC(), n.Prepend("\u00e9")])}.items():
        t = out["normalizer " + name] = bytes_model()
        t.normalizer = step
    for name, step in {
            "Whitespace": p.Whitespace(), "WhitespaceSplit": p.WhitespaceSplit(), "Digits": p.Digits(True),
            "DigitRuns": p.Digits(False), "Bert": p.BertPreTokenizer(), "CharDelimiterSplit": p.CharDelimiterSplit("e"),
            **{"Punctuation " + b: p.Punctuation(b) for b in ("removed", "isolated", "merged_with_previous",
                                                               "merged_with_next", "contiguous")},
            "Metaspace": p.Metaspace(), "MetaspaceFirst": p.Metaspace(prepend_scheme="first"),
            "MetaspaceNever": p.Metaspace(prepend_scheme="never"), "Bloom": p.Split(Regex(BLOOM), "isolated"),
            "ByteLevelFirst": p.Sequence([p.ByteLevel(True), p.Digits(True)])}.items():
        t = out["pre_tokenizer " + name] = runs_model()
        t.pre_tokenizer = step
        t.add_tokens([AddedToken("ab", normalized=False), AddedToken("<s>")])
    t = out["pre_tokenizer FirstAfterNormalizer"] = runs_model()
    t.normalizer, t.pre_tokenizer = n.Sequence([n.Strip(), n.Nmt()]), p.Metaspace(prepend_scheme="first")
    return out


def column(e):
    return [e.ids, e.type_ids, e.special_tokens_mask, e.attention_mask, [list(o) for o in e.offsets], e.tokens]


def pair_cases(tokenizers):
    """Pairs, truncation and padding: what was asked for and every column of the answer, overflowing pieces included."""
    rng, cases = random.Random(13), []
    texts = [t for t in random_lines.lines(400, seed=2) if 0 < len(t) < 60]
    for i in range(120):
        name = rng.choice(["llama", "t5", "xlmr", "albert", "roberta", "bert", "neox", "bloom"])
        t = Tokenizer.from_str(tokenizers[name])
        first, second = rng.choice(texts), rng.choice(texts) if rng.random() < 0.6 else None
        case = {"tokenizer": name, "first": first, "second": second, "special": rng.random() < 0.8}
        t.no_truncation(), t.no_padding()
        if rng.random() < 0.8:
            case["truncation"] = {"max_length": rng.randint(0, 16), "stride": rng.choice([0, 0, 1, 2, 3]),
                                  "strategy": rng.choice(["longest_first", "longest_first", "only_first", "only_second"]),
                                  "direction": rng.choice(["right", "right", "left"])}
        if rng.random() < 0.5:
            case["padding"] = {"length": rng.choice([None, 8, 20]), "pad_to_multiple_of": rng.choice([None, 8]),
                               "direction": rng.choice(["right", "left"]), "pad_id": 1, "pad_type_id": 2, "pad_token": "<p>"}
        added = t.num_special_tokens_to_add(second is not None) if case["special"] else 0
        if "truncation" in case and case["truncation"]["max_length"] < added:
            continue  # it subtracts, below zero, and then truncates nothing; ours refuses
        try:
            if "truncation" in case:
                t.enable_truncation(**case["truncation"])
            if "padding" in case:
                t.enable_padding(**case["padding"])
            e = t.encode(first, second, add_special_tokens=case["special"])
            case["expected"] = [column(x) for x in [e, *e.overflowing]]
        except ValueError:  # it looks at a single text with special tokens, whatever comes
            continue
        except BaseException as error:  # tokenizers panics where a length leaves no room
            case["error"] = type(error).__name__
        cases.append(case)
    return cases


def digests(tokenizer, texts, block):
    return [digest(tokenizer, texts[i:i + block]) for i in range(0, len(texts), block)]


def main():
    folder = Path(sys.argv[1])
    genesis, mixed = (folder / "genesis.txt").read_text(), (folder / "mixed.txt").read_text()
    training = random_lines.lines(1500, seed=3)
    texts = genesis.split("\n")[:250] + mixed.split("\n") + training
    out = folder / "kinds"
    random_lines.write_parts(out / "lines.json")
    made = {name: t.to_str() for name, t in kinds(texts).items()}
    for name, text in made.items():
        dump(out / f"{name}.json", json.loads(text))
    lines = random_lines.lines(LINES)
    points = [[chr(p) for p in range(b, b + 4096) if not 0xD800 <= p <= 0xDFFF] for b in range(0, 0x110000, 4096)]
    result = {"lines_per_digest": BLOCK, "kinds": {}, "steps": {}}
    for name, text in made.items():
        result["kinds"][name] = digests(Tokenizer.from_str(text), lines, BLOCK)
    for name, t in steps().items():
        document = json.loads(t.to_str())
        # tables of bytes are the test's own
        document["model"]["vocab"] = {} if document["model"]["type"] == "BPE" else document["model"]["vocab"]
        result["steps"][name] = {"tokenizer": document, "lines": digests(t, lines[:20_000], BLOCK),
                                 "code_points": [digest(t, block) for block in points]}
    dump(out / "digests.json", result)
    dump(out / "pairs.json", pair_cases(made))


if __name__ == "__main__":
    main()
