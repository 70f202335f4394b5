#!/usr/bin/env python3
"""Writes tests/text/goldens/: tokenizers, and what tokenizers==0.23.3 makes of texts with them.

    python3 -m venv /tmp/tok && /tmp/tok/bin/pip install tokenizers==0.23.3
    examples/gpt2/make_text.sh /tmp/kjv.txt          (Debian's bible-kjv 4.38, bible-kjv-text 4.38)
    /tmp/tok/bin/python tests/parity/tokenizer/make_goldens.py /tmp/kjv.txt tests/text/goldens

One string's record is, in little-endian 32-bit words: number of ids, the ids, begin and end of each offset, number of
bytes of the decoded text; then these bytes. A digest is the CRC-32 of consecutive records, written in hexadecimal.
"""
import json
import random
import sys
import zlib
from array import array
from itertools import chain
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
import unicodedata

assert tokenizers.__version__ == "0.23.3", tokenizers.__version__
assert array("I").itemsize == 4 and sys.byteorder == "little"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
POINTS = [p for p in range(0x110000) if not 0xD800 <= p <= 0xDFFF]
BLOCK = 4096     # code points in one digest
ROWS = 16        # first characters of pairs in one digest
CHOSEN = 2000


def chosen_points():
    """ASCII and Latin whole, then every category, space, mark, jamo and border that patterns tell apart."""
    rng = random.Random(3)
    chosen = dict.fromkeys(range(0x180))
    chosen.update(dict.fromkeys(p for p in POINTS if chr(p).isspace()))
    chosen.update(dict.fromkeys([0x212A, 0x17F, 0x200B, 0x200D, 0xFE0F, 0xFEFF, 0xFFFD, 0xFFFE, 0xFFFF, 0xD7FF, 0xE000,
                                 0x10FFFF, 0x1F468, 0x1F3FD, 0x340, 0x341, 0x344, 0x958, 0xFB1D, 0x1D15E]))
    chosen.update(dict.fromkeys(range(0x300, 0x346)))
    for first in (0x1100, 0x1161, 0x11A7, 0xAC00, 0xD788):
        chosen.update(dict.fromkeys(range(first, first + 12)))
    groups = {}
    for p in POINTS:
        groups.setdefault(unicodedata.category(chr(p)), []).append(p)
    for name in sorted(groups):
        chosen.update(dict.fromkeys(rng.sample(groups[name], min(30, len(groups[name])))))
    marks = [p for p in POINTS if unicodedata.combining(chr(p))]
    chosen.update(dict.fromkeys(rng.sample(marks, 120)))
    composed = [p for p in POINTS if unicodedata.decomposition(chr(p))[:1] not in ("", "<")]
    for p in rng.sample(composed, 120):
        chosen.update(dict.fromkeys([p] + [ord(c) for c in unicodedata.normalize("NFD", chr(p))]))
    while len(chosen) < CHOSEN:
        chosen[rng.choice(POINTS)] = None
    return list(chosen)[:CHOSEN]


def unicode_sample(points):
    """Words of chosen characters, so that merges of bytes beyond ASCII are learnt as well."""
    rng = random.Random(5)
    words = ["".join(chr(rng.choice(points)) for _ in range(rng.randint(1, 4))) for _ in range(1500)]
    return " ".join(rng.choice(words) for _ in range(6000)).replace("\0", "")


def train(text, vocab_size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, min_frequency=2, special_tokens=["<|endoftext|>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert=invert)


def variants(gpt2):
    def copy():
        return Tokenizer.from_str(gpt2.to_str())

    def begin_with(tokenizer, token):
        return processors.TemplateProcessing(single=f"{token} $A", pair=f"{token} $A {token}:1 $B:1",
                                             special_tokens=[(token, tokenizer.token_to_id(token))])

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    llama3 = copy()
    llama3.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"])
    llama3.pre_tokenizer = pre_tokenizers.Sequence([split(LLAMA3), byte_level])
    llama3.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True),
                                                 begin_with(llama3, "<|begin_of_text|>")])
    qwen2 = copy()
    qwen2.normalizer = normalizers.NFC()
    qwen2.pre_tokenizer = pre_tokenizers.Sequence([split(QWEN2), byte_level])
    qwen2.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    qwen2.add_tokens([AddedToken("<tool>", normalized=False), AddedToken("caf\u0065\u0301"), AddedToken("  ")])
    roberta = copy()
    roberta.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                     pre_tokenizers.ByteLevel(add_prefix_space=True)])
    roberta.post_processor = processors.ByteLevel(trim_offsets=True, add_prefix_space=True)
    roberta.add_special_tokens([AddedToken("<mask>", lstrip=True), AddedToken("<s>", rstrip=True)])
    roberta.add_tokens([AddedToken("word", single_word=True), AddedToken("both", lstrip=True, rstrip=True),
                        AddedToken("s", single_word=True, lstrip=True), AddedToken("<<mask>", normalized=False)])
    gpt4o = copy()
    gpt4o.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split("--", "merged_with_next"), split(r"[,;]+", "removed"), split("[0-9]", "merged_with_previous"),
        split(r"[\u4e00-\u9fa5]+", "contiguous"), split(GPT4O, "removed", invert=True), byte_level])
    return {"gpt2": gpt2, "llama3": llama3, "qwen2": qwen2, "roberta": roberta, "gpt4o": gpt4o}


def save(tokenizer, name, folder):
    document = json.loads(tokenizer.to_str())
    if name == "llama3":
        document["model"]["ignore_merges"] = True
    if name == "qwen2":  # as older files have it
        document["model"]["merges"] = [" ".join(pair) for pair in document["model"]["merges"]]
        document["model"]["continuing_subword_prefix"] = document["model"]["end_of_word_suffix"] = ""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return Tokenizer.from_str(text)


def digest(tokenizer, texts):
    crc = 0
    for text in texts:
        e = tokenizer.encode(text)
        ids = e.ids
        data = tokenizer.decode(ids).encode("utf-8")
        words = array("I", [len(ids), *ids, *chain.from_iterable(e.offsets), len(data)])
        crc = zlib.crc32(data, zlib.crc32(words.tobytes(), crc))
    return f"{crc:08x}"


def random_strings(points, count, atoms):
    rng = random.Random(7)
    for _ in range(count):
        yield "".join(rng.choice(atoms) if rng.random() < 0.7 else chr(rng.choice(points))
                      for _ in range(rng.randint(1, 12)))


def sample(tokenizer, text):
    e = tokenizer.encode(text)
    return [text, e.ids, e.tokens, [list(o) for o in e.offsets], tokenizer.decode(e.ids),
            tokenizer.decode(e.ids, skip_special_tokens=False)]


def dump(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def main():
    bible = Path(sys.argv[1]).read_text(encoding="utf-8")
    folder = Path(sys.argv[2])
    points = chosen_points()
    excerpt = bible[:bible.index("\n", 50000) + 1]
    mixed = unicode_sample(points)
    (folder / "genesis.txt").write_text(excerpt, encoding="utf-8")
    (folder / "mixed.txt").write_text(mixed, encoding="utf-8", newline="")
    atoms = ["<|endoftext|>", "<|begin_of_text|>", "<|eot_id|>", "<|im_start|>", "<tool>", "cafe\u0301", "caf\u00e9",
             "<mask>", "<s>", "<<mask>", "word", "words", "both", "s", " ", "  ", "   ", "\n", "\r\n", "\t", "\u00a0",
             "\u3000", "'s", "'LL", "'\u017f", "\u212a", "a", "B", "the", " and", "12", "3456", "\u0664", "\u00bd", "--",
             ",", ";;", "!", "?!", "\u4e2d\u6587", "\u3042", "\u1100\u1161\u11a8", "\uac00", "\u0301", "\u0323",
             "\U0001f468\u200d\U0001f469", "\u0958", "\u0344", "_", "."]
    kjv_tokenizer = train(bible, 8192)
    result = {"made_with": f"tokenizers {tokenizers.__version__}, bible-kjv 4.38", "code_points_per_digest": BLOCK,
              "rows_per_digest": ROWS, "chosen": points, "kjv_text": f"{zlib.crc32(bible.encode()):08x}",
              "kjv_trained": f"{zlib.crc32(kjv_tokenizer.to_str(pretty=True).encode()):08x}", "tokenizers": {}}
    texts = list(random_strings(points, 3000, atoms))
    dump(folder / "random.json", texts)
    for name, tokenizer in variants(train(excerpt + mixed, 1500)).items():
        tokenizer = save(tokenizer, name, folder)
        dump(folder / f"{name}.samples.json", [sample(tokenizer, t) for t in texts[:80]])
        entry = {"random": digest(tokenizer, texts), "excerpt": digest(tokenizer, [excerpt]), "mixed": digest(tokenizer, [mixed]),
                 "kjv": digest(tokenizer, [bible]),
                 "code_points": [digest(tokenizer, [chr(p) for p in range(b, b + BLOCK) if not 0xD800 <= p <= 0xDFFF])
                                 for b in range(0, 0x110000, BLOCK)]}
        result["tokenizers"][name] = entry
    for name in ("gpt2", "llama3", "qwen2"):  # minutes each
        dump(folder / "digests.json", result)
        tokenizer = Tokenizer.from_file(str(folder / f"{name}.json"))
        result["tokenizers"][name]["pairs"] = [
            digest(tokenizer, [chr(a) + chr(b) for a in points[r:r + ROWS] for b in points])
            for r in range(0, CHOSEN, ROWS)]
        print(f"{name}: pairs done", file=sys.stderr)
    dump(folder / "digests.json", result)


if __name__ == "__main__":
    main()
