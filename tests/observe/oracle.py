"""One rank of runs of real DeepSpeed whose monitors are the goldens; make_goldens.py starts it once a rank.

  oracle.py JOBS.json      a list of {folder, steps, config}

The model is eight weights and the loss a multiple of their sum, so that every number but the timings is exact.
"""
import json
import os
import pathlib
import sys

import deepspeed
import torch
from deepspeed.accelerator import get_accelerator


class Weights(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.ones(8))

    def forward(self, x):
        return (self.weights * x).sum()


def run(folder, steps, config):
    os.chdir(folder)
    print(f"RUN {folder}", flush=True)
    model = Weights()
    engine, *_ = deepspeed.initialize(model=model, model_parameters=model.parameters(), config=config)
    x = torch.ones(8, dtype=torch.half if engine.fp16_enabled() else torch.float)
    for _ in range(steps * engine.gradient_accumulation_steps()):
        engine.backward(engine(x))
        engine.step()


# CPUs without fp16 in oneDNN compute it all the same, only slower
get_accelerator().is_fp16_supported = lambda: True
deepspeed.init_distributed("gloo")
for job in json.loads(pathlib.Path(sys.argv[1]).read_text()):
    run(**job)
torch.distributed.destroy_process_group()
