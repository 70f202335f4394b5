#!/usr/bin/env python3
"""Writes tests/text/goldens/patterns.json: random patterns, texts, and how tokenizers==0.23.3's Split cuts them.

    /tmp/tok/bin/python tests/parity/tokenizer/make_patterns.py 3000 > tests/text/goldens/patterns.json

Rows are [pattern, text, pieces]. Patterns that tokenizers refuses, or gives up on, are left out.
"""
import json
import random
import sys

import tokenizers
from tokenizers import Regex, pre_tokenizers

assert tokenizers.__version__ == "0.23.3", tokenizers.__version__
LITERALS = list("abcsktSK1 -_.,'") + ["\u00e9", "\u4e2d", "\u017f", "\u212a", "\n", "\u00a0", "\U0001f600", "\u00df"]
ESCAPES = [r"\s", r"\S", r"\d", r"\w", r"\W", r"\D", r"\p{L}", r"\p{N}", r"\P{L}", r"\p{Lu}", r"\p{^Ll}", r"\p{P}",
           r"\p{M}", r"\x41", r"\u00e9", "."]
MEMBERS = [r"\s", r"\S", r"\d", r"\w", r"\p{L}", r"\p{N}", r"\P{Lu}", r"\r\n", "a-c", "0-9", "A-Z", "\u4e00-\u9fa5"]
QUANTIFIERS = ["", "", "", "", "?", "*", "+", "+?", "*?", "??", "++", "*+", "?+"]
COUNTS = ["{2}", "{1,2}", "{,2}", "{2,}"]
rng = random.Random(1)


def literal():
    c = rng.choice(LITERALS)
    return {"\n": "\\n", ".": "\\.", "-": "\\-"}.get(c, c)


def char_class():
    members = (literal() if rng.random() < 0.5 else rng.choice(MEMBERS) for _ in range(rng.randint(1, 3)))
    return "[" + rng.choice(["", "^"]) + "".join(members) + rng.choice(["", "", "-"]) + "]"


def term(depth):
    kind = rng.random()
    if kind < 0.06:
        return rng.choice(["(?=", "(?!", "(?<=", "(?<!"]) + (literal() if rng.random() < 0.6 else char_class()) + ")"
    if kind < 0.2 and depth < 3:
        return rng.choice(["(?:", "(", "(?i:"]) + alternation(depth + 1) + ")" + rng.choice(QUANTIFIERS)
    one = literal() if kind < 0.55 else rng.choice(ESCAPES) if kind < 0.75 else char_class()
    return one + rng.choice(QUANTIFIERS + COUNTS)


def alternation(depth):
    branches = rng.randint(1, 3 if depth == 0 else 2)
    return "|".join("".join(term(depth) for _ in range(rng.randint(1, 3))) for _ in range(branches))


def main():
    rows = []
    while len(rows) < int(sys.argv[1]):
        pattern = alternation(0)
        text = "".join(rng.choice(LITERALS + list("aab  12")) for _ in range(rng.randint(1, 25)))
        try:
            cut = pre_tokenizers.Split(Regex(pattern), "isolated").pre_tokenize_str(text)
        except BaseException as error:  # a panic is no Exception
            if isinstance(error, KeyboardInterrupt):
                raise
            continue
        rows.append([pattern, text, [piece for piece, _ in cut]])
    print("[" + ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows) + "]")


if __name__ == "__main__":
    main()
