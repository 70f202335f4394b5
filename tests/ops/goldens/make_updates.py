#!/usr/bin/env python3
"""Writes updates.safetensors beside itself: what DeepSpeed's own CPU kernels make of ten steps.

Made with deepspeed 0.19.8 and torch 2.11.0 on a processor with AVX-512 (the kernels are compiled when first used):
    DS_ACCELERATOR=cpu PATH=$VENV/bin:$PATH OMP_NUM_THREADS=1 python make_updates.py

Inputs are made from integers, so that update_goldens_test.cpp makes the same ones. Each case is a JSON line of the
metadata; its tensors are "<case>/<step>/param" and the states' names. That FusedAdam, built for the CPU, has the bits of
DeepSpeedCPUAdam is checked here (there is no FusedLion for the CPU).
"""
import importlib.metadata
import json
import os
import pathlib

os.environ.setdefault("DS_ACCELERATOR", "cpu")
import torch  # noqa: E402
from deepspeed.ops.adagrad import DeepSpeedCPUAdagrad  # noqa: E402
from deepspeed.ops.adam import DeepSpeedCPUAdam, FusedAdam  # noqa: E402
from deepspeed.ops.lion import DeepSpeedCPULion  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

OUTPUT = pathlib.Path(__file__).resolve().parent / "updates.safetensors"
COUNT = 301  # vectors of 128, of 16 and a rest
STEPS = 10
KEPT = (1, 2, 10)
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

ADAM = {"lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0, "bias_correction": True, "adamw_mode": True}
CASES = (
    [{"op": "adam", **ADAM, **case} for case in (
        {}, {"weight_decay": 0.1, "lr": 1e-2}, {"weight_decay": 0.1, "adamw_mode": False}, {"bias_correction": False},
        {"betas": [0.8, 0.95], "eps": 1e-6, "weight_decay": 0.01}, {"steps": [1, 3, 7, 20, 21, 30, 100, 1000, 5000, 100000]},
        {"param": "bf16"}, {"param": "bf16", "state": "bf16", "weight_decay": 0.1},
        {"param": "fp16"}, {"param": "fp16", "state": "fp16", "weight_decay": 0.1, "adamw_mode": False})]
    + [{"op": "adagrad", "lr": 1e-2, "eps": 1e-10, "weight_decay": 0.0, **case} for case in (
        {}, {"weight_decay": 0.1, "lr": 0.1}, {"eps": 1e-3}, {"param": "bf16"}, {"param": "bf16", "state": "bf16", "weight_decay": 0.1},
        {"param": "fp16", "state": "fp16"})]
    + [{"op": "lion", "lr": 1e-3, "betas": [0.9, 0.999], "weight_decay": 0.0, **case} for case in (
        {}, {"weight_decay": 0.1, "lr": 1e-2}, {"betas": [0.95, 0.98], "lr": 3e-4, "weight_decay": 0.01}, {"param": "bf16"},
        {"param": "bf16", "state": "bf16", "weight_decay": 0.1}, {"param": "fp16", "state": "fp16"})])


def made(seed):
    """Multiples of 2^-12 in [-0.5, 0.5): exact in fp32."""
    mixed = (torch.arange(COUNT, dtype=torch.int64) * 2654435761 + seed * 40503 * 65537) % 2**32
    return ((mixed // 2**20).to(torch.float32) - 2048) / 4096


def gradient(step):
    gradient = made(step) / 2 ** (step % 4)
    gradient[::7] = 0  # some elements never see a gradient
    return gradient


def optimizer_of(case, parameter, fused=False):
    keys = {key: case[key] for key in ("lr", "eps", "weight_decay", "bias_correction") if key in case}
    if "betas" in case:
        keys["betas"] = tuple(case["betas"])
    full = case.get("state", "fp32") == "fp32"
    if case["op"] == "adam":
        if fused:
            return FusedAdam([parameter], adam_w_mode=case["adamw_mode"], **keys)
        return DeepSpeedCPUAdam([parameter], adamw_mode=case["adamw_mode"], fp32_optimizer_states=full, **keys)
    if case["op"] == "adagrad":
        return DeepSpeedCPUAdagrad([parameter], fp32_optimizer_states=full, **keys)
    return DeepSpeedCPULion([parameter], fp32_optimizer_states=full, **keys)


def names(case):
    return {"adam": ("exp_avg", "exp_avg_sq"), "adagrad": ("exp_avg_sq",), "lion": ("exp_avg",)}[case["op"]]


def run(case, fused=False):
    dtype = TYPES[case.get("param", "fp32")]
    parameter = torch.nn.Parameter(made(0).to(dtype))
    optimizer = optimizer_of(case, parameter, fused)
    kept = {}
    for index in range(STEPS):
        parameter.grad = gradient(index + 1).to(dtype)
        if "steps" in case and index:
            optimizer.state[parameter]["step"] = case["steps"][index] - 1
        optimizer.step()
        if index + 1 in KEPT:
            kept[f"{index + 1}/param"] = parameter.detach().clone()
            for name in names(case):
                kept[f"{index + 1}/{name}"] = optimizer.state[parameter][name].clone()
    return kept


def main():
    tensors = {}
    for index, case in enumerate(CASES):
        kept = run(case)
        fusible = case["op"] == "adam" and "steps" not in case and case.get("state", "fp32") == case.get("param", "fp32")
        if fusible:
            for name, value in run(case, fused=True).items():
                assert torch.equal(value, kept[name]), (case, name)
        tensors |= {f"{index}/{name}": value for name, value in kept.items()}
    versions = {name: importlib.metadata.version(name) for name in ("deepspeed", "torch")}
    save_file(tensors, OUTPUT, metadata={"cases": json.dumps(CASES), "versions": json.dumps(versions)})


if __name__ == "__main__":
    main()
