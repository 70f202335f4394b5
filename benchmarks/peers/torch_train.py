"""Plain PyTorch training (DistributedDataParallel where several ranks run, torch.optim.AdamW) with the flags, data order
and log of oracle_train.py: what someone has who uses no DeepSpeed.

  torchrun --nproc-per-node 2 torch_train.py --model DIR --data tokens.bin --seq-length 256 --steps 10 \
      --deepspeed_config ds.json --log-jsonl out.jsonl [--compile]

--device cuda trains on a GPU, one rank.

Of the configuration it obeys micro-batch, AdamW's params, gradient_clipping and bf16.enabled or torch_autocast.enabled (autocast to bf16).
"""
import argparse
import contextlib
import json
import os
import time

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from oracle_train import vm_hwm


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seq-length", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--deepspeed_config", required=True)
    parser.add_argument("--log-jsonl", required=True)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    return parser.parse_args()


def main():
    options = parse()
    config = json.load(open(options.deepspeed_config))
    world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    if world > 1:
        torch.distributed.init_process_group("gloo")
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).to(options.device)
    model.train()  # its configuration has no dropout
    params = config["optimizer"]["params"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=params["lr"], betas=params["betas"], weight_decay=params["weight_decay"],
                                  fused=True)  # the fastest that PyTorch has
    step_model = torch.nn.parallel.DistributedDataParallel(model) if world > 1 else model
    if options.compile:
        step_model = torch.compile(step_model)
    bf16 = any(config.get(block, {}).get("enabled", False) for block in ("bf16", "torch_autocast"))
    length, batch = options.seq_length, config["train_micro_batch_size_per_gpu"]
    tokens = np.fromfile(options.data, dtype=np.uint16)
    samples, log = len(tokens) // length, open(options.log_jsonl, "w") if rank == 0 else None
    for step in range(options.steps):
        start, first = time.time(), (step * world + rank) * batch
        rows = [tokens[(first + j) % samples * length:][:length] for j in range(batch)]
        ids = torch.from_numpy(np.stack(rows).astype(np.int64)).to(options.device)
        with torch.autocast(options.device, torch.bfloat16) if bf16 else contextlib.nullcontext():
            loss = step_model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config["gradient_clipping"])
        optimizer.step()
        optimizer.zero_grad()
        if options.device == "cuda":
            torch.cuda.synchronize()
        seconds = time.time() - start
        sums = torch.tensor([loss.item() / world, float(vm_hwm())], dtype=torch.float64)
        if world > 1:
            torch.distributed.all_reduce(sums)
        if log:
            count = length * batch * world
            print(json.dumps(dict(step=step + 1, loss=sums[0].item(), tokens=count, tokens_per_s=count / seconds,
                                  step_ms=seconds * 1e3, rss_bytes_all_ranks=sums[1].item(),
                                  device_bytes=torch.cuda.max_memory_allocated() if options.device == "cuda" else 0)), file=log, flush=True)


if __name__ == "__main__":
    main()
