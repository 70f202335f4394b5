"""One mistake in a configuration that draw_configs.py has drawn."""

from draw_configs import GONE, REMOVED, REMOVED_ZERO, Pairs, parts_of, to_text


class Breaker:
    """One mistake."""

    def __init__(self, drawer):
        self.d, self.rng = drawer, drawer.rng
        self.kinds = [self.unknown_key, self.wrong_type, self.out_of_range, self.fraction, self.duplicate,
                      self.old_and_new, self.wrong_word, self.batch, self.removed, self.both_precisions,
                      self.auto_in_loose_block, self.syntax, self.null, self.two_keys, self.gone, self.two_spellings,
                      self.no_type, self.old_clipping, self.auto_batch, self.below_zero, *3 * [self.not_its_own]]

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
        config.set("zero_optimization", Pairs([("stage", 1), self.rng.choice(list(GONE.items()))]))
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

    def not_its_own(self, config):
        """What one of the two parsers takes and the other does not."""
        kind = self.rng.randrange(8)
        if kind == 0:
            config.set("zero_optimization", Pairs([("stage", 3)]))
            config.set("gradient_allreduce_op", "sum")
        elif kind == 1:
            config.set("bf16", Pairs([("enabled", True)]))
            config.set("torch_autocast", Pairs([("enabled", True), ("dtype", "bfloat16")]))
        elif kind == 2:
            config.set("torch_autocast", Pairs([("enabled", True), ("dtype", "torch.half")]))
        elif kind == 3:
            config.set("optimizer", Pairs([("type", "Lion"), ("params", Pairs([("eps", 1e-8)]))]))
        elif kind == 4:
            config.set("tensor_parallel", Pairs([("dtype", "torch.float16")]))
        elif kind == 5:
            config.set("data_efficiency", Pairs([("data_sampling", Pairs([("dynamic_batching", Pairs([("enabled", True)]))]))]))
        elif kind == 6:
            config.set("zero_optimization", Pairs([("stage", 2)]))
            config.set("bf16", Pairs([("enabled", True), ("bf16_master_weights_and_grads", True)]))
        else:
            config.set("compile", Pairs([("passes", ["z1", "z2"])]))
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
