"""Train encoders with the real DeepSpeed on the batches and masks that ds_train takes from the same file, to compare curves.

  VENV=$(./env.sh ds); cd SOMEWHERE
  DS_ACCELERATOR=cpu OMP_NUM_THREADS=1 PATH=$VENV/bin:$PATH deepspeed --num_accelerators 2 oracle_encoder.py JOBS.json

JOBS.json is a list of {"objective": "mlm" or "sequence-classification", "model": FOLDER, "data": FILE.jsonl, "steps": N,
"config": FILE, "log": FILE.jsonl}; one set of ranks runs them all, since starting DeepSpeed takes longer than tiny steps. A
line of the data is {"input_ids": [...], "labels": [...] or a class, "token_type_ids": [...] if wanted}; rows are padded to the
longest of their micro-batch. Samples come in order: step s, micro-step g, rank r takes ((s*G + g)*W + r)*M ...; dropout is off.
"""
import gc
import json
import sys
import time

import deepspeed
import torch
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

CLASSES = {"mlm": AutoModelForMaskedLM, "sequence-classification": AutoModelForSequenceClassification}


def collate(rows):
    longest = max(len(row["input_ids"]) for row in rows)

    def padded(key, fill):
        return torch.tensor([row[key] + [fill] * (longest - len(row[key])) for row in rows])
    batch = {"input_ids": padded("input_ids", 0)}
    batch["attention_mask"] = torch.tensor([[int(t < len(row["input_ids"])) for t in range(longest)] for row in rows])
    if "token_type_ids" in rows[0]:
        batch["token_type_ids"] = padded("token_type_ids", 0)
    batch["labels"] = padded("labels", -100) if isinstance(rows[0]["labels"], list) else torch.tensor([r["labels"] for r in rows])
    return batch


def load(job):
    model = CLASSES[job["objective"]].from_pretrained(job["model"], dtype=torch.float32, **job.get("options", {}))
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model.train()


def train(job, rank, world):
    model = load(job)
    engine, _, _, _ = deepspeed.initialize(model=model, model_parameters=list(model.parameters()),
                                           config=json.load(open(job["config"])))
    rows = [json.loads(line) for line in open(job["data"])]
    micro, accumulation = engine.train_micro_batch_size_per_gpu(), engine.gradient_accumulation_steps()
    log = open(job["log"], "w") if rank == 0 else None
    for step in range(job["steps"]):
        begin, total = time.time(), 0.0
        for g in range(accumulation):
            first = ((step * accumulation + g) * world + rank) * micro
            loss = engine(**collate([rows[(first + j) % len(rows)] for j in range(micro)])).loss
            engine.backward(loss)
            engine.step()
            total += loss.item() / accumulation
        mean = torch.tensor([total], dtype=torch.float64)
        torch.distributed.all_reduce(mean)
        norm = engine.get_global_grad_norm()
        if log:
            print(json.dumps({"step": step + 1, "loss": mean.item() / world, "lr": engine.get_lr()[0],
                              "grad_norm": None if norm is None else float(norm), "step_ms": (time.time() - begin) * 1e3}),
                  file=log, flush=True)


def main():
    deepspeed.init_distributed()
    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    path = next(argument for argument in sys.argv[1:] if not argument.startswith("--"))
    for job in json.load(open(path)):
        train(job, rank, world)
        gc.collect()


if __name__ == "__main__":
    main()
