"""Configurations drawn at random from the tables of keys (ds_report --config-reference --json)."""

import json
import re

WORLD_SIZE = 2
WORDS = ["alpha", "run/1", "x y", "Warn", "0"]
REMOVED = ["nebula", "compression_training", "amp", "quantize_training", "sparse_gradients", "eigenvalue",
           "sparse_attention", "elasticity", "graph_harvesting", "curriculum_learning", "progressive_layer_drop"]
REMOVED_ZERO = {"mics_shard_size": -1, "mics_hierarchical_params_gather": False, "zeropp_loco_param": None}
# Spellings before 2021, which today's DeepSpeed does not take.
GONE = {"max_elements_per_comm": 1000, "cpu_offload_params": False}


class Pairs(list):
    """An object as (key, value) pairs, so that a key can stand in it twice."""

    def find(self, key):
        return next((i for i, (k, _) in enumerate(self) if k == key), None)

    def set(self, key, value):
        at = self.find(key)
        if at is None:
            self.append((key, value))
        else:
            self[at] = (key, value)


def to_text(value):
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(k)}: {to_text(v)}" for k, v in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_text, value)) + "]"
    if isinstance(value, Raw):
        return value.text
    return json.dumps(value)


class Raw:
    """A value spelled in its own way (5e8)."""

    def __init__(self, text):
        self.text = text


def parts_of(field):
    """Alternatives of a field's type, as (kind, low, high, open_low, open_high) or ("word", text)."""
    out = []
    low, high = field.get("min"), field.get("max")
    for text in field["type"].replace(" or null", "").split(" | "):
        bound = re.fullmatch(r"(int|number)(?:(>=|>)(.+)|:(.+)\.\.(.+))?", text)
        if bound:
            kind, sign, least, first, last = bound.groups()
            if sign:
                out.append((kind, float(least), high, sign == ">", False))
            elif first:
                out.append((kind, float(first), float(last), False, False))
            else:
                out.append((kind, low, high, field.get("min_open", False), field.get("max_open", False)))
        elif text == "text or list":
            out += [("text", ), ("texts", )]
        elif text.startswith("some of "):
            out.append(("some", text.removeprefix("some of ").split("/")))
        elif text == "list of texts":
            out.append(("texts", ))
        elif text.startswith('"'):
            out.append(("word", text.strip('"')))
        elif text in ("bool", "text", "texts", "numbers", "ints", "list", "object", "any", "number or list",
                      "two numbers"):
            out.append((text, ))
        elif text != "null":
            out.append(("word", text))
    return out


class Drawer:

    def __init__(self, table, rng):
        self.root, self.rng = table, rng

    def number(self, part):
        kind, low, high, open_low, open_high = part
        rng = self.rng
        low = -3 if low is None else low
        high = max(low + 10, rng.choice([8, 1000, 10**9])) if high is None else high
        for _ in range(100):
            if kind == "int":
                value = rng.randint(int(low), int(high))
            else:
                value = round(rng.uniform(low, high), 3)
            if not (open_low and value <= low) and not (open_high and value >= high):
                return value
        raise ValueError(part)

    def spelled(self, value, strict):
        """The number itself, or in one of the ways that are equal to it."""
        if isinstance(value, int) and value > 0 and value % 100 == 0 and self.rng.random() < .5:
            return Raw(f"{value:e}")
        if isinstance(value, int) and self.rng.random() < .1:
            return Raw(f"{value}.0")
        if strict and self.rng.random() < .05:
            return str(value)
        return value

    def value(self, field, strict):
        rng = self.rng
        if strict and rng.random() < .06:
            return "auto"
        if field.get("nullable") and rng.random() < .1:
            return None
        if field.get("harmless") and rng.random() < .93:
            return rng.choice(field["harmless"])
        if field["key"] == "train_batch_size":
            return 8
        if field["key"] == "allgather_bucket_size" or field["key"] == "allgather_size":
            return self.spelled(2 * rng.randint(0, 10**6), strict)
        part = rng.choice(parts_of(field))
        kind = part[0]
        if kind in ("int", "number"):
            return self.spelled(self.number(part), strict)
        if kind == "bool":
            flag = rng.random() < .5
            return rng.choice([int(flag), str(flag).lower()]) if strict and rng.random() < .1 else flag
        if kind == "word":
            return part[1]
        if kind == "some":
            return rng.sample(part[1], rng.randint(0, 2))
        if kind == "text":
            return rng.choice(WORDS)
        if kind == "texts":
            return rng.sample(WORDS, rng.randint(0, 2))
        if kind in ("numbers", "number or list"):
            return rng.choice([0.25, [0.5]])
        if kind == "two numbers":
            return [0.9, 0.95]
        return {"ints": [1, 2], "list": [], "object": Pairs(), "any": False}[kind]

    def spelling(self, field):
        if field.get("aliases") and self.rng.random() < .3:
            return self.rng.choice(field["aliases"])
        return field["key"]

    def block(self, table, depth=0):
        out = Pairs()
        fields = [f for f in table["keys"] if not f["key"].startswith("<") and "variants" not in f
                  and f["key"] not in REMOVED_ZERO and f["key"] not in GONE]
        wanted = [f for f in fields if f.get("required")]
        wanted += self.rng.sample(fields, min(len(fields), self.rng.randint(1, 5)))
        seen = set()
        for field in wanted:
            key = field["key"]
            if key in seen or field.get("list") or (field.get("deprecated") and self.rng.random() < .7):
                continue
            if field.get("replacement") in seen:
                continue
            seen |= {key, field.get("replacement", key)}
            if "table" in field:
                if depth < 3:
                    out.append((self.spelling(field), self.block(field["table"], depth + 1)))
            else:
                out.append((self.spelling(field), self.value(field, table["strict"])))
        self.variants(table, out)
        return out

    def variants(self, table, out):
        for field in table["keys"]:
            if "variants" in field:
                name = self.rng.choice(list(field["variants"]))
                out.set(field["picked_by"], name)
                out.append((field["key"], self.block(field["variants"][name], 3)))

    def batch(self, out):
        micro, steps = self.rng.choice([1, 2, 3, 8]), self.rng.choice([1, 2, 5])
        train = micro * steps * WORLD_SIZE
        values = {"train_batch_size": train, "train_micro_batch_size_per_gpu": micro,
                  "gradient_accumulation_steps": steps}
        for key in self.rng.choice([("tmg"), ("tm"), ("tg"), ("mg"), ("t"), ("m")]):
            name = {"t": "train_batch_size", "m": "train_micro_batch_size_per_gpu",
                    "g": "gradient_accumulation_steps"}[key]
            out.append((name, values[name]))
        if not any(k.startswith("gradient_acc") for k, _ in out) and len(out) == 1:
            key = out[0][0]
            out[0] = (key, values[key] if key != "train_batch_size" else micro * WORLD_SIZE)

    def config(self):
        rng, out = self.rng, Pairs()
        self.batch(out)
        fields = [f for f in self.root["keys"] if f["key"] not in REMOVED and not f["key"].startswith("train_")
                  and f["key"] != "gradient_accumulation_steps"]
        ours = [f for f in fields if "feature" not in f]
        common = [f for f in fields if f["key"] in ("zero_optimization", "fp16", "bf16", "optimizer", "scheduler")]
        wanted = {f["key"]: f for f in rng.sample(ours, 3) + rng.sample(fields, 1) + rng.sample(common, 2)}
        if "fp32_allreduce" in wanted:
            wanted.pop("communication_data_type", None)
        for key, field in wanted.items():
            if key == "zero_optimization" and rng.random() < .06:
                out.append((key, rng.random() < .5))
            elif "table" in field:
                out.append((self.spelling(field), self.block(field["table"])))
            elif rng.random() > .5 or not field.get("deprecated"):
                out.append((self.spelling(field), self.value(field, False)))
        rng.shuffle(out)
        return out
