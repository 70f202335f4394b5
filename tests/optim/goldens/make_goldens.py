#!/usr/bin/env python3
"""Writes goldens.json beside itself: schedules and loss-scaler traces of the real DeepSpeed.

Made with deepspeed 0.19.8 and torch 2.11.0:
    pip install torch==2.11.0 deepspeed==0.19.8 numpy && DS_ACCELERATOR=cpu python make_goldens.py
"""
import json
import math
import os
import pathlib
import random

os.environ["DS_ACCELERATOR"] = "cpu"
import deepspeed  # noqa: E402
import torch  # noqa: E402
from deepspeed.runtime import lr_schedules  # noqa: E402
from deepspeed.runtime.fp16 import loss_scaler  # noqa: E402

STEPS = 60
GROUP_LRS = [3e-4, 7e-4]
GROUP_BETAS = (0.9, 0.999)


def settings():
    for kind in ("log", "linear"):
        for n in (1, 2, 3, 10, 59, 100):
            yield "WarmupLR", {"warmup_max_lr": 1e-3, "warmup_num_steps": n, "warmup_type": kind}
    yield "WarmupLR", {}
    yield "WarmupLR", {"warmup_min_lr": 1e-5, "warmup_num_steps": 7}
    yield "WarmupLR", {"warmup_min_lr": [1e-5, 2e-5], "warmup_max_lr": [1e-3, 2e-3], "warmup_num_steps": 12}
    yield "WarmupDecayLR", {"total_num_steps": 50}
    for kind in ("log", "linear"):
        for n, total in ((1, 40), (2, 2), (10, 50), (10, 5), (20, 100)):
            yield "WarmupDecayLR", {"total_num_steps": total, "warmup_min_lr": 1e-6, "warmup_max_lr": 2e-3,
                                    "warmup_num_steps": n, "warmup_type": kind}
    yield "WarmupCosineLR", {"total_num_steps": 50}
    for kind in ("log", "linear"):
        for n, total, r0, c in ((1, 40, 0.0, 1e-4), (2, 45, 0.1, 0.0), (10, 50, 0.2, 0.1), (10, 8, 0.0, 1e-3), (5, 200, 0.5, 0.5)):
            yield "WarmupCosineLR", {"total_num_steps": total, "warmup_num_steps": n, "warmup_min_ratio": r0,
                                     "cos_min_ratio": c, "warmup_type": kind}
    yield "LRRangeTest", {}
    yield "LRRangeTest", {"lr_range_test_min_lr": 1e-4, "lr_range_test_step_size": 7, "lr_range_test_step_rate": 2.5}
    yield "LRRangeTest", {"lr_range_test_min_lr": 1e-4, "lr_range_test_step_size": 7, "lr_range_test_step_rate": 2.5,
                          "lr_range_test_staircase": True}
    yield "LRRangeTest", {"lr_range_test_min_lr": [1e-4, 2e-4], "lr_range_test_step_size": 1}
    base = {"cycle_min_lr": 1e-4, "cycle_max_lr": 1e-3}
    yield "OneCycle", base
    for first, second in ((10, None), (10, 20), (23, 7), (1, 1), (10, 0), (30, 40), (3, 6)):
        for stairs, second_stairs in ((0, None), (5, None), (3, 2), (0, 4), (7, 0)):
            if second == 0 and second_stairs != 0 and (stairs or second_stairs):
                continue  # DeepSpeed divides by zero there
            yield "OneCycle", dict(base, cycle_first_step_size=first, cycle_second_step_size=second,
                                   cycle_first_stair_count=stairs, cycle_second_stair_count=second_stairs)
    shape = dict(base, cycle_first_step_size=10, cycle_second_step_size=15)
    yield "OneCycle", dict(shape, decay_step_size=5, decay_lr_rate=0.5)
    yield "OneCycle", dict(shape, decay_step_size=5, decay_lr_rate=0.5, decay_mom_rate=0.01)
    yield "OneCycle", dict(shape, decay_step_size=5, decay_mom_rate=0.02, cycle_min_mom=0.7, cycle_max_mom=0.95)
    yield "OneCycle", dict(shape, decay_step_size=0, decay_lr_rate=0.5, decay_mom_rate=0.02)
    yield "OneCycle", dict(shape, cycle_momentum=False, decay_step_size=3, decay_lr_rate=1.0)


def schedule_trace(kind, params):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in GROUP_LRS]
    optimizer = torch.optim.Adam(groups, betas=GROUP_BETAS)
    scheduler = getattr(lr_schedules, kind)(optimizer, **params)
    # A state is [lr of group 0, lr of group 1] of the optimizer, what construction wrote and then each step; with
    # OneCycle also beta1, beta2, which the other schedules leave alone.
    states = []
    for i in range(STEPS + 1):
        if i > 0:
            scheduler.step()
        g = optimizer.param_groups
        assert g[0]["betas"] == g[1]["betas"]
        assert kind == "OneCycle" or g[0]["betas"] == GROUP_BETAS
        states.append([g[0]["lr"], g[1]["lr"], *(g[0]["betas"] if kind == "OneCycle" else ())])
    return {"type": kind, "params": params, "states": states}


def scaler_trace(rng, power, window, hysteresis, consecutive, min_scale, probability):
    scaler = loss_scaler.DynamicLossScaler(init_scale=2.0**power, scale_window=window, min_scale=min_scale,
                                           delayed_shift=hysteresis, consecutive_hysteresis=consecutive)
    overflows, states, failed = [], [], False
    for _ in range(120):
        overflow = rng.random() < probability
        overflows.append(int(overflow))
        try:
            scaler.update_scale(overflow)
        except Exception as error:
            assert "already at minimum" in str(error)
            failed = True
            break
        states.append([scaler.cur_scale, scaler.cur_iter, scaler.last_overflow_iter, scaler.cur_hysteresis])
    return {"initial_scale_power": power, "loss_scale_window": window, "hysteresis": hysteresis,
            "consecutive_hysteresis": consecutive, "min_loss_scale": min_scale, "overflows": overflows,
            "states": states, "fails_at_the_end": failed}


def adam_trace(adam_w_mode, weight_decay, bias_correction, lr, betas, eps):
    """FusedAdam's own C++ on the CPU: 37 elements, 40 steps; element i starts at cos(i), gradients are sin(i + 7*step)/step."""
    from deepspeed.ops.adam import FusedAdam
    n, steps = 37, 40
    p = torch.nn.Parameter(torch.tensor([math.cos(i) for i in range(n)]))
    optimizer = FusedAdam([p], lr=lr, betas=betas, eps=eps, adam_w_mode=adam_w_mode, weight_decay=weight_decay,
                          bias_correction=bias_correction)
    for step in range(1, steps + 1):
        p.grad = torch.tensor([math.sin(i + 7 * step) / step for i in range(n)])
        optimizer.step()
    state = optimizer.state[p]
    return {"adam_w_mode": adam_w_mode, "weight_decay": weight_decay, "bias_correction": bias_correction, "lr": lr,
            "betas": betas, "eps": eps, "steps": steps, "param": p.tolist(), "exp_avg": state["exp_avg"].tolist(),
            "exp_avg_sq": state["exp_avg_sq"].tolist()}


def adam_settings():
    for adam_w_mode in (True, False):
        yield adam_w_mode, 0.0, True, 1e-3, (0.9, 0.999), 1e-8
        yield adam_w_mode, 0.1, True, 3e-3, (0.9, 0.95), 1e-6
        yield adam_w_mode, 0.01, False, 1e-2, (0.8, 0.99), 1e-5


def main():
    deepspeed.comm.get_rank = lambda: 1  # the scaler asks only whether to log
    loss_scaler.dist.get_rank = lambda: 1
    rng = random.Random(20)
    scalers = []
    for hysteresis in (1, 2, 3):
        for consecutive in (False, True):
            for window in (2, 3, 10):
                for probability in (0.05, 0.3):
                    scalers.append(scaler_trace(rng, rng.choice([4, 16, 20]), window, hysteresis, consecutive,
                                                rng.choice([1, 2, 4]), probability))
    goldens = {"deepspeed": deepspeed.__version__, "torch": torch.__version__, "group_lrs": GROUP_LRS,
               "group_betas": GROUP_BETAS, "schedules": [schedule_trace(k, p) for k, p in settings()], "scalers": scalers,
               "adam": [adam_trace(*a) for a in adam_settings()]}
    path = pathlib.Path(__file__).with_name("goldens.json")
    text = json.dumps(goldens, separators=(",", ":")).replace('{"type"', '\n{"type"').replace('{"initial', '\n{"initial').replace('{"adam_w', '\n{"adam_w')
    path.write_text(text + "\n")
    print(len(goldens["schedules"]), "schedules,", len(scalers), "scalers,", path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
