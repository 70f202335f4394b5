"""Lines of mixed scripts, emoji, control characters and bytes that are not UTF-8, from a seed. tests/text/random_lines.h
makes the same ones; what they are made of is tests/text/goldens/kinds/lines.json."""
import json

MASK = (1 << 64) - 1

PARTS = {
    "words": ["the", "and", "of", "God", "earth", "In", "beginning", "created", "don't", "I'll", "we've", "naïve", "café",
              "Straße", "İstanbul", "ΣΊΣΥΦΟΣ", "Привет", "мир", "שלום", "مرحبا", "नमस्ते", "สวัสดี", "你好", "世界", "こんにちは",
              "カタカナ", "안녕하세요", "ﬁne", "①", "½", "㎏", "ＡＢＣ", "e\u0301te\u0301", "``quoted''", "http://a.b/c?d=e&f",
              "x_1", "snake_case", "CamelCase", "\u2581", "\u2581the", "<0x41>", "Ġthe", "##ing", "\u1100\u1161\u11a8",
              "tab\tbed", "a\u200db", "zero\u200bwidth", "so\u00adft", "..."],
    "ranges": [[0x41, 0x7A], [0xC0, 0x17F], [0x370, 0x3FF], [0x400, 0x4FF], [0x5D0, 0x5EA], [0x600, 0x6FF], [0x900, 0x97F],
               [0xE00, 0xE5B], [0x1100, 0x11FF], [0x1E00, 0x1EFF], [0x2000, 0x206F], [0x2070, 0x218F], [0x2460, 0x24FF],
               [0x3000, 0x30FF], [0x3300, 0x33FF], [0x4E00, 0x4EFF], [0xAC00, 0xACFF], [0xF900, 0xFA2D], [0xFB00, 0xFDFF],
               [0xFE70, 0xFFEF], [0x1D400, 0x1D4FF], [0x1F300, 0x1F6FF], [0x20000, 0x200FF]],
    "emoji": ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🇩🇪", "❤️", "1️⃣", "🏳️‍🌈", "©\u200d®", "🤷🏿‍♀️"],
    "spaces": [" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", "\u00a0", "\u3000", "\u2003", "\u0085", "\u200a", "\x0b"],
    "added": ["<s>", "</s>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "<mask>", "<|endoftext|>", "<extra_id_0>", "ab", "\n\n"],
}


class Random:
    """splitmix64 (Steele et al. 2014)."""

    def __init__(self, seed):
        self.state = seed

    def __call__(self, bound):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return (z ^ (z >> 31)) % bound

    def of(self, items):
        return items[self(len(items))]


def character(point):
    return "\ufffd" if 0xD800 <= point <= 0xDFFF else chr(point)


def part(random):
    kind = random(16)
    if kind < 6:
        return random.of(PARTS["words"]).encode()
    if kind == 6:
        first, last = random.of(PARTS["ranges"])
        return "".join(character(first + random(last - first + 1)) for _ in range(1 + random(4))).encode()
    if kind == 7:
        return random.of(PARTS["emoji"]).encode()
    if kind == 8:
        return character(random(0xA0)).encode()
    if kind == 9:
        return character(0x300 + random(0x70)).encode()
    if kind == 10:
        return character(random(0x110000)).encode()
    if kind == 11:
        return bytes(0x80 + random(0x80) for _ in range(1 + random(3)))
    if kind == 12:
        return random.of(PARTS["added"]).encode()
    if kind == 13:
        return str(random(100000)).encode()
    if kind == 14:
        return random.of(PARTS["spaces"]).encode()
    return bytes([0x21 + random(0x5E)])


def line(random):
    out = b""
    for _ in range(1 + random(12)):
        out += part(random) + b" " * (random(4) % 3)
    return out.decode("utf-8", "replace")


def lines(count, seed=1):
    random = Random(seed)
    return [line(random) for _ in range(count)]


def write_parts(path):
    with open(path, "w") as file:
        json.dump(PARTS, file, ensure_ascii=True)
