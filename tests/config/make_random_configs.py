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

from break_configs import Breaker
from draw_configs import WORLD_SIZE, Drawer, to_text


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
    parser.add_argument("--count", type=int, default=450)
    parser.add_argument("--seed", type=int, default=1)
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
