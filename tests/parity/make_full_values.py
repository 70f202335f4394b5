"""Makes goldens/full_values.safetensors: what DeepSpeed's safe_get_* give of a few parameters of GPT-2, on two ranks.

  $(benchmarks/peers/env.sh ds)/bin/python tests/parity/make_full_values.py
"""
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import torch

HERE = pathlib.Path(__file__).resolve().parent
GOLDENS = HERE / "goldens"
RANKS, STEPS, SEQ_LENGTH, MICRO_BATCH = 2, 3, 48, 4
# A matrix and vectors, on either side of the cut that stages 1 and 2 make.
PARAMETERS = ["transformer.h.1.attn.c_proj.weight", "transformer.h.0.ln_1.weight", "transformer.h.2.attn.c_attn.bias",
              "transformer.h.1.mlp.c_fc.bias"]
STATES = ["exp_avg", "exp_avg_sq"]
RUNS = {"z1-fp32": (1, {}), "z2-fp32": (2, {}), "z3-fp32": (3, {}), "z2-bf16": (2, {"bf16": {"enabled": True}}),
        "z3-bf16": (3, {"bf16": {"enabled": True}})}


def config(stage, more):
    return {
        "train_micro_batch_size_per_gpu": MICRO_BATCH, "steps_per_print": 1000, "gradient_clipping": 0.5,
        "optimizer": {"type": "AdamW", "params": {"lr": 1e-3, "eps": 1e-6, "weight_decay": 0.1}},
        "zero_optimization": {"stage": stage, "stage3_param_persistence_threshold": 30, "reduce_bucket_size": 20000},
    } | more


def rank_main(target):
    import deepspeed
    from deepspeed import utils
    from transformers import GPT2LMHeadModel
    from safetensors.torch import save_file
    import oracle_batch
    torch.nn.functional.layer_norm = oracle_batch.layer_norm_with_fp32_sums
    tokens = torch.frombuffer(bytearray((GOLDENS / "data/text.bin").read_bytes()), dtype=torch.uint16).long()
    deepspeed.init_distributed(dist_backend="gloo")
    rank = torch.distributed.get_rank()
    mine = {}
    for run, (stage, more) in RUNS.items():
        model = GPT2LMHeadModel.from_pretrained(GOLDENS / "models/gpt2")
        engine, *_ = deepspeed.initialize(model=model, config=config(stage, more), model_parameters=model.parameters())
        chosen = {name: p for name, p in engine.module.named_parameters() if name in PARAMETERS}
        assert len(chosen) == len(PARAMETERS)

        def keep(what, get, local=False):
            for name, p in chosen.items():
                value = get(p)
                assert value is not None, (run, what, name)
                mine[f"{run}/{what}/{name}" + (f"@{rank}" if local else "")] = value.detach().float().clone().contiguous()

        for step in range(STEPS):
            first = (step * RANKS + rank) * MICRO_BATCH
            ids = torch.stack([tokens[s * SEQ_LENGTH:(s + 1) * SEQ_LENGTH] for s in range(first, first + MICRO_BATCH)])
            engine.backward(engine(ids, labels=ids).loss)
            if step + 1 == STEPS:
                keep("full_grad", utils.safe_get_full_grad)
                if stage == 3:
                    keep("local_grad", utils.safe_get_local_grad, local=True)
            engine.step()
        keep("full_fp32_param", utils.safe_get_full_fp32_param)
        for state in STATES:
            keep(f"full_optimizer_state/{state}", lambda p: utils.safe_get_full_optimizer_state(p, state))
        if stage == 3:
            keep("local_fp32_param", utils.safe_get_local_fp32_param, local=True)
            for state in STATES:
                keep(f"local_optimizer_state/{state}", lambda p: utils.safe_get_local_optimizer_state(p, state), local=True)
        engine.destroy()
    parts = [None] * RANKS
    torch.distributed.all_gather_object(parts, mine)
    whole = {}
    for part in parts:
        for name, value in part.items():
            # Every rank must give the same of what is whole.
            assert name not in whole or torch.equal(whole[name], value), name
            whole[name] = value
    if rank == 0:
        versions = {name: importlib.metadata.version(name) for name in ("deepspeed", "torch", "transformers")}
        about = {"made_with": versions, "script": "tests/parity/make_full_values.py", "ranks": RANKS, "steps": STEPS,
                 "seq_length": SEQ_LENGTH, "configs": {run: config(*how) for run, how in RUNS.items()}}
        save_file(whole, target, metadata={"about": json.dumps(about)})


def main():
    venv = pathlib.Path(sys.prefix) / "bin"
    env = dict(os.environ, DS_ACCELERATOR="cpu", OMP_NUM_THREADS="1", PATH=f"{venv}:{os.environ['PATH']}")
    with tempfile.TemporaryDirectory() as work:
        made = pathlib.Path(work) / "full_values.safetensors"
        subprocess.run(["deepspeed", "--num_accelerators", str(RANKS), str(pathlib.Path(__file__).resolve()), str(made)],
                       cwd=work, env=env, check=True)
        (GOLDENS / "full_values.safetensors").write_bytes(made.read_bytes())


if __name__ == "__main__":
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    rank_main(arguments[0]) if arguments else main()
