"""Draws configurations from the tables of keys, half of them broken in one place, and asks DeepSpeed's own parser
about each.

  ds_report --config-reference --json > reference.json
  DS_ACCELERATOR=cpu python tests/config/make_random_configs.py reference.json tests/config/goldens/random_configs.jsonl

needs deepspeed 0.19.8. One JSON line a configuration: its text, how it was broken ("" for not at all), whether
DeepSpeedConfig accepts it for two ranks, and the error or the values that it resolves. random_configs_test.cpp replays
them; DS_RANDOM_CONFIGS=FILE makes it read another file, for more draws (--count, --seed)."""

import argparse
import json
import logging
import os
import random
import re
import tempfile

WORLD_SIZE = 2
WORDS = ["alpha", "run/1", "x y", "Warn", "0"]
REMOVED = ["nebula", "compression_training", "amp", "quantize_training", "sparse_gradients", "eigenvalue",
           "sparse_attention", "elasticity", "graph_harvesting", "curriculum_learning", "progressive_layer_drop"]
REMOVED_ZERO = {"mics_shard_size": -1, "mics_hierarchical_params_gather": False, "zeropp_loco_param": None}
# Spellings before 2021, which today's DeepSpeed does not take.
GONE = ["max_elements_per_comm"]


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
        if kind == "text":
            return rng.choice(WORDS)
        if kind == "texts":
            return [rng.choice(WORDS)]
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


class Breaker:
    """One mistake."""

    def __init__(self, drawer):
        self.d, self.rng = drawer, drawer.rng
        self.kinds = [self.unknown_key, self.wrong_type, self.out_of_range, self.fraction, self.duplicate,
                      self.old_and_new, self.wrong_word, self.batch, self.removed, self.both_precisions,
                      self.auto_in_loose_block, self.syntax, self.null, self.two_keys, self.gone, self.two_spellings,
                      self.no_type, self.old_clipping, self.auto_batch, self.below_zero]

    def apply(self, config):
        while True:
            kind = self.rng.choice(self.kinds)
            text = kind(config)
            if text is not None:
                return kind.__name__, text

    def places(self, config, wanted):
        """(pairs, index, field, strict) of the keys whose field is wanted."""
        out = []

        def walk(pairs, table):
            by_name = {name: f for f in table["keys"] for name in [f["key"], *f.get("aliases", [])]}
            for i, (key, value) in enumerate(pairs):
                field = by_name.get(key)
                if field is None:
                    continue
                if "table" in field and isinstance(value, Pairs):
                    walk(value, field["table"])
                elif "variants" in field and isinstance(value, Pairs):
                    at = pairs.find(field["picked_by"])
                    walk(value, field["variants"][pairs[at][1]])
                elif wanted(field, value):
                    out.append((pairs, i, field, table["strict"]))

        walk(config, self.d.root)
        return out

    def replace(self, config, wanted, values):
        places = self.places(config, wanted)
        if not places:
            return None
        pairs, i, field, _ = self.rng.choice(places)
        pairs[i] = (pairs[i][0], self.rng.choice(values(field)))
        return to_text(config)

    def objects(self, config):
        out = [config]
        for _, value in config:
            if isinstance(value, Pairs):
                out += self.objects(value)
        return out

    def unknown_key(self, config):
        pairs = self.rng.choice(self.objects(config))
        key = self.rng.choice(pairs)[0] if pairs else "key"
        at = self.rng.randrange(len(key))
        pairs.append((key[:at] + "q" + key[at:], True))
        return to_text(config)

    def wrong_type(self, config):
        return self.replace(config, lambda f, v: parts_of(f) and parts_of(f)[0][0] != "any",
                            lambda f: [[[1]], Pairs([("a", 1)]), "words of it"])

    def null(self, config):
        return self.replace(config, lambda f, v: not f.get("nullable"), lambda f: [None])

    def out_of_range(self, config):
        bounds = lambda f: [p for p in parts_of(f) if p[0] in ("int", "number") and p[1] is not None]
        return self.replace(config, lambda f, v: bounds(f),
                            lambda f: [int(bounds(f)[0][1]) - 1, -10**6] +
                            ([bounds(f)[0][2] + 1] if bounds(f)[0][2] is not None else []))

    def fraction(self, config):
        return self.replace(config, lambda f, v: any(p[0] == "int" for p in parts_of(f)), lambda f: [2.5, 1e-3])

    def wrong_word(self, config):
        words = lambda f: [p for p in parts_of(f) if p[0] == "word"]
        return self.replace(config, lambda f, v: words(f), lambda f: [words(f)[0][1] + "x", "none of them"])

    def duplicate(self, config):
        pairs = self.rng.choice([p for p in self.objects(config) if p])
        pairs.append(self.rng.choice(pairs))
        return to_text(config)

    def old_and_new(self, config):
        old, new, value = self.rng.choice([
            ("cpu_offload", "offload_optimizer", Pairs([("device", "none")])),
            ("cpu_offload_param", "offload_param", Pairs([("device", "none")])),
            ("stage3_gather_fp16_weights_on_model_save", "stage3_gather_16bit_weights_on_model_save", True),
            ("stage3_prefetch_bucket_size", "prefetch_bucket_size", 10)])
        config.set("zero_optimization",
                   Pairs([("stage", 1), (old, 10 if "bucket" in old else self.rng.random() < .5), (new, value)]))
        return to_text(config)

    def batch(self, config):
        config.set("train_batch_size", self.rng.choice([7, 1, 0, 33]))
        config.set("train_micro_batch_size_per_gpu", self.rng.choice([2, 3, 5]))
        return to_text(config)

    def removed(self, config):
        key = self.rng.choice(REMOVED)
        if self.rng.random() < .25:
            config.set("zero_optimization", Pairs([self.rng.choice(list(REMOVED_ZERO.items()))]))
        else:
            config.set(key, False if key in ("sparse_gradients", "graph_harvesting") else Pairs([("enabled", False)]))
        return to_text(config)

    def both_precisions(self, config):
        for key in ("fp16", self.rng.choice(["bf16", "bfloat16"])):
            config.set(key, Pairs([("enabled", True)]))
        return to_text(config)

    def gone(self, config):
        config.set("zero_optimization", Pairs([("stage", 1), (GONE[0], 1000)]))
        return to_text(config)

    def two_spellings(self, config):
        for key in ("bf16", "bfloat16"):
            config.set(key, Pairs([("enabled", False)]))
        return to_text(config)

    def no_type(self, config):
        config.set(self.rng.choice(["optimizer", "scheduler"]), Pairs([("params", Pairs([("lr", 0.1)]))]))
        return to_text(config)

    def old_clipping(self, config):
        config.set("optimizer", Pairs([("type", "Adam"), ("params", Pairs([("max_grad_norm", 1.0)]))]))
        return to_text(config)

    def auto_batch(self, config):
        config.set(self.rng.choice(["train_micro_batch_size_per_gpu", "train_batch_size"]), "auto")
        return to_text(config)

    def below_zero(self, config):
        config.set("fp16", Pairs([(self.rng.choice(["hysteresis", "loss_scale_window", "min_loss_scale"]), -1)]))
        return to_text(config)

    def auto_in_loose_block(self, config):
        places = [p for p in self.places(config, lambda f, v: not f.get("auto_is_value")) if not p[3]]
        if not places:
            return None
        pairs, i, _, _ = self.rng.choice(places)
        pairs[i] = (pairs[i][0], "auto")
        return to_text(config)

    def syntax(self, config):
        text = to_text(config)
        return self.rng.choice([text[:-1], text.replace(":", "", 1), text[1:], text + "}"])

    def two_keys(self, config):
        config.set("zero_optimization", self.rng.choice([
            Pairs([("stage", 0), ("compute_grad_norm", False)]),
            Pairs([("stage", 2), ("compute_grad_norm", False)]),
            Pairs([("stage", 1), ("allgather_bucket_size", 3)]),
            Pairs([("stage", 2), ("offload_optimizer", Pairs([("ratio", .5)]))])]))
        on = ("enabled", True)
        config.set("fp16", self.rng.choice([Pairs([("loss_scale_window", 0)]), Pairs([on, ("min_loss_scale", 0)]),
                                            Pairs([("loss_scale", 4), ("loss_scale_window", 0)]), Pairs()]))
        return to_text(config)


def liberties(text, rng):
    """HJSON's: a comment, a trailing comma, a key without quotes."""
    how = rng.random()
    if how < .05:
        return "# drawn\n" + text
    if how < .1:
        return text[:-1] + ",}"
    if how < .15:
        return re.sub(r'^\{"(\w+)"', r"{\1", text)
    return text


class Real:
    """DeepSpeed's parser on two ranks."""

    ZERO = ["stage", "contiguous_gradients", "reduce_scatter", "reduce_bucket_size", "use_multi_rank_bucket_allreduce",
            "allgather_partitions", "allgather_bucket_size", "round_robin_gradients", "ignore_unused_parameters",
            "compute_grad_norm", "load_from_fp32_weights", "parameter_alignment"]
    FP16 = ["enabled", "loss_scale", "initial_scale_power", "loss_scale_window", "hysteresis",
            "consecutive_hysteresis", "min_loss_scale"]
    BF16 = ["enabled", "check_grad_overflow"]
    TOP = ["train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "steps_per_print",
           "managed_gradient_accumulation", "gradient_clipping", "prescale_gradients", "gradient_predivide_factor",
           "gradient_allreduce_op", "zero_allow_untested_optimizer"]

    def __init__(self):
        import deepspeed.runtime.config as module
        logging.disable(logging.CRITICAL)
        self.parse = module.DeepSpeedConfig
        module.dist.get_rank = lambda *_: 0
        module.dist.get_world_size = lambda *_: WORLD_SIZE

    def ask(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
            file.write(text)
        try:
            return {"accepted": True, "values": self.values(self.parse(file.name))}
        except Exception as error:  # whatever it raises is its refusal
            return {"accepted": False, "error": self.short(error)}
        finally:
            os.remove(file.name)

    @staticmethod
    def short(error):
        if hasattr(error, "errors") and callable(error.errors):
            first = error.errors()[0]
            return f"{type(error).__name__}: {'.'.join(map(str, first['loc']))}: {first['msg']}"[:110]
        lines = str(error).strip().splitlines()
        return f"{type(error).__name__}: {lines[0] if lines else ''}"[:110]

    def values(self, config):
        out = {key: getattr(config, key) for key in self.TOP}
        dtype = config.communication_data_type
        out["communication_data_type"] = dtype and {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}[
            str(dtype).removeprefix("torch.")]
        for block, keys, model in [("zero_optimization", self.ZERO, config.zero_config),
                                   ("fp16", self.FP16, config.float16_config),
                                   ("bf16", self.BF16, config.bfloat16_config)]:
            out |= {f"{block}.{key}": getattr(model, key) for key in keys}
        return {key: int(value) if key.endswith("stage") else value for key, value in out.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference")
    parser.add_argument("out")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=4)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with open(args.reference) as file:
        drawer = Drawer(json.load(file), rng)
    breaker, real = Breaker(drawer), Real()
    plain = real.ask('{"train_batch_size": 2}')["values"]
    with open(args.out, "w") as out:
        for i in range(args.count):
            config, broken = drawer.config(), ""
            if i % 2:
                broken, text = breaker.apply(config)
            else:
                text = liberties(to_text(config), rng)
            record = {"broken": broken, "text": text, **real.ask(text)}
            if "values" in record:  # defaults go without saying, but for the sizes of the batch
                record["values"] = {k: v for k, v in record["values"].items()
                                    if v != plain[k] or k in Real.TOP[:3]}
            out.write(json.dumps(record, separators=(",", ":")) + "\n")
        out.write(json.dumps({"defaults": plain}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
