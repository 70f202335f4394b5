"""Makes goldens/overflow.json: what DeepSpeed's fp16 loss scale, skipped steps and schedule do in 200 steps that
overflow on purpose. Two ranks on a CPU:

  DS_ACCELERATOR=cpu OMP_NUM_THREADS=1 PATH=$VENV/bin:$PATH deepspeed --num_accelerators 2 tests/parity/make_overflow_traces.py

The model is one weight vector times its input, so that every gradient is a power of two times the loss scale and
overflows at the same step in any implementation.
"""
import argparse
import importlib.metadata
import json
import pathlib

import deepspeed
import torch

OUTPUT = pathlib.Path(__file__).resolve().parent / "goldens" / "overflow.json"
STEPS = 200
WIDTH = 6
# Inputs of rank 1 are 2^12 times larger in these steps.
INJECTED = [3, 4, 5, 30, 31, 60, 61, 62, 63, 64, 65, 66, 90, 111, 112, 140, 141, 142, 150, 152, 154, 156, 198, 199]
# Not stage 0: DeepSpeed 0.19.8 does not multiply the loss by the scale there (engine.backward scales for ZeRO alone), so
# that nothing overflows.
RUNS = [
    {"stage": 1, "accumulation": 1, "fp16": {"initial_scale_power": 16, "loss_scale_window": 5}},
    {"stage": 1, "accumulation": 2, "fp16": {"initial_scale_power": 12, "loss_scale_window": 4, "hysteresis": 1}},
    {"stage": 2, "accumulation": 1,
     "fp16": {"initial_scale_power": 20, "loss_scale_window": 3, "hysteresis": 3, "consecutive_hysteresis": True}},
    {"stage": 2, "accumulation": 3, "fp16": {"initial_scale_power": 10, "loss_scale_window": 6, "min_loss_scale": 4}},
    {"stage": 2, "accumulation": 1, "fp16": {"loss_scale": 64}},
]


def exponent(step, micro, rank):
    return (step * 7 + micro * 3 + rank * 5) % 4 + (12 if step in INJECTED and rank == 1 else 0)


class Weighted(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return (self.weight * x).sum()


def trace(run):
    config = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": run["accumulation"],
        "gradient_clipping": 1.0,
        "optimizer": {"type": "Adam", "params": {"lr": 1e-4}},
        "scheduler": {"type": "WarmupDecayLR",
                      "params": {"total_num_steps": 150, "warmup_num_steps": 20, "warmup_max_lr": 1e-4, "warmup_type": "linear"}},
        "zero_optimization": {"stage": run["stage"]},
        "fp16": {"enabled": True, **run["fp16"]},
    }
    model = Weighted()
    engine, *_ = deepspeed.initialize(model=model, model_parameters=model.parameters(), config=config)
    rank, steps = engine.global_rank, []
    for step in range(STEPS):
        for micro in range(run["accumulation"]):
            x = torch.full((WIDTH,), 2.0 ** exponent(step, micro, rank), dtype=torch.half)
            engine.backward(engine(x))
            engine.step()
        steps.append([engine.optimizer.loss_scale if hasattr(engine.optimizer, "loss_scale") else engine.optimizer.cur_scale,
                      engine.skipped_steps, engine.get_lr()[0]])
    return {"config": config, "steps": steps}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--local_rank", type=int)
    parser.parse_args()
    runs = [trace(run) for run in RUNS]
    if torch.distributed.get_rank() == 0:
        versions = {name: importlib.metadata.version(name) for name in ("deepspeed", "torch")}
        lines = [json.dumps(run) for run in runs]
        OUTPUT.write_text('{"versions": %s, "world_size": 2, "width": %d, "injected": %s,\n "runs": [\n%s\n]}\n'
                          % (json.dumps(versions), WIDTH, json.dumps(INJECTED), ",\n".join(lines)))


if __name__ == "__main__":
    main()
