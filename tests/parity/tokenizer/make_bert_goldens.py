#!/usr/bin/env python3
"""Writes tests/text/goldens/bert*.json: WordPiece tokenizers and what tokenizers==0.23.3 makes of texts with them. The texts
are make_goldens.py's.

    examples/gpt2/make_text.sh /tmp/kjv.txt
    $(benchmarks/peers/env.sh ds)/bin/python tests/parity/tokenizer/make_bert_goldens.py /tmp/kjv.txt tests/text/goldens
"""
import json
import sys
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from make_goldens import BLOCK, digest, dump, sample

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def train(text, vocab_size, **options):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=12))
    tokenizer.normalizer = normalizers.BertNormalizer(**options)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator([text], trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=SPECIAL,
                                                                    show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("[CLS]", "[SEP]")])
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    return tokenizer


def variants(text):
    uncased = train(text, 1400)
    cased = train(text, 1400, clean_text=False, lowercase=False, handle_chinese_chars=False)
    cased.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    accents = train(text, 1400, strip_accents=False)
    accents.add_tokens([AddedToken("Word", single_word=True), AddedToken("Caf\u00e9"), AddedToken("\u00c9", normalized=False)])
    return {"bert": uncased, "bert-cased": cased, "bert-accents": accents}


def main():
    bible = Path(sys.argv[1]).read_text(encoding="utf-8")
    folder = Path(sys.argv[2])
    excerpt, mixed = ((folder / name).read_bytes().decode() for name in ("genesis.txt", "mixed.txt"))
    texts = json.loads((folder / "random.json").read_text(encoding="utf-8"))
    english = ["Don't do not isn't I'm we've they're he 's , . ! ? ' \" n't", "[CLS] a [MASK] b[SEP]", "Antidisestablishmentarianism",
               "\u0130stanbul \u00dcber \u1e9e \u03a3\u03a3 na\u00efve", "\u6771\u4eac tower", "a\u00adb\u200bc\u0000d\ufffde", ""]
    result = {"made_with": f"tokenizers {tokenizers.__version__}", "tokenizers": {}}
    for name, tokenizer in variants(excerpt + mixed).items():
        document = json.loads(tokenizer.to_str())
        (folder / f"{name}.json").write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n",
                                             encoding="utf-8")
        tokenizer = Tokenizer.from_file(str(folder / f"{name}.json"))
        result["tokenizers"][name] = {
            "samples": [sample(tokenizer, t) for t in english + texts[:20]],
            "random": digest(tokenizer, texts), "excerpt": digest(tokenizer, [excerpt]), "mixed": digest(tokenizer, [mixed]),
            "kjv": digest(tokenizer, [bible]),
            "code_points": [digest(tokenizer, [chr(p) for p in range(b, b + BLOCK) if not 0xD800 <= p <= 0xDFFF])
                            for b in range(0, 0x110000, BLOCK)]}
    dump(folder / "bert-digests.json", result)


if __name__ == "__main__":
    main()
