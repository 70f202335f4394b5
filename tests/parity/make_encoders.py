"""Makes the goldens of encoders (encoders.json and what it names) with transformers and the real DeepSpeed; see README.md.

  $(benchmarks/peers/env.sh ds)/bin/python tests/parity/make_encoders.py [--logits-only [NAME ...]]
"""
import importlib.metadata
import json
import os
import pathlib
import random
import socket
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import save_file
from transformers import (AutoConfig, AutoModelForMaskedLM, AutoModelForQuestionAnswering, AutoModelForSequenceClassification,
                          AutoModelForTokenClassification)

HERE = pathlib.Path(__file__).resolve().parent
GOLDENS = HERE / "goldens"
ORACLE = HERE.parents[1] / "benchmarks" / "peers" / "oracle_encoder.py"
VERSIONS = {name: importlib.metadata.version(name) for name in ("deepspeed", "torch", "transformers", "safetensors")}
STEPS, SAMPLES, LONGEST = 50, 240, 44
SPECIAL = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[MASK]": 3}
FIRST_BYTE = 4  # byte b has id FIRST_BYTE + b
SHARP = dict(model_type="bert", num_hidden_layers=2, hidden_size=32, intermediate_size=40, num_attention_heads=4,
             max_position_embeddings=20, vocab_size=67, type_vocab_size=3, pad_token_id=5, num_labels=3)
DEBERTA = dict(model_type="deberta-v2", relative_attention=True, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
# For logits and gradients only. The padding token occurs in the texts, before which RoBERTa counts no position.
KIN = {
    "roberta": SHARP | dict(model_type="roberta", pad_token_id=16, max_position_embeddings=40),
    "xlm_roberta": SHARP | dict(model_type="xlm-roberta", pad_token_id=16, max_position_embeddings=40, type_vocab_size=1),
    "distilbert": dict(model_type="distilbert", n_layers=2, dim=32, hidden_dim=40, n_heads=4, max_position_embeddings=20,
                       vocab_size=67, pad_token_id=5, num_labels=3),
    "albert": SHARP | dict(model_type="albert", num_hidden_layers=5, num_hidden_groups=2, embedding_size=12),
    # As version 3 is, and with everything otherwise.
    "deberta_v2": SHARP | DEBERTA | dict(position_buckets=8, pos_att_type=["p2c", "c2p"], share_att_key=True, norm_rel_ebd="layer_norm",
                                         position_biased_input=False, type_vocab_size=0),
    "deberta_v2_own": SHARP | DEBERTA | dict(max_relative_positions=11, pos_att_type="c2p|p2c", share_att_key=False, legacy=False,
                                             pooler_hidden_act="relu"),
}
HEADS = {"mlm": AutoModelForMaskedLM, "classes": AutoModelForSequenceClassification, "tokens": AutoModelForTokenClassification,
         "answers": AutoModelForQuestionAnswering}
TRAINED = dict(model_type="bert", num_hidden_layers=2, hidden_size=48, intermediate_size=96, num_attention_heads=3,
               max_position_embeddings=LONGEST, vocab_size=FIRST_BYTE + 128, num_labels=3)
TOLERANCE = {"loss_relative": 1e-4, "lr_absolute": 1e-9, "grad_norm_relative": 1e-3}


def make_model(folder, config, std, heads=("mlm", "classes")):
    """One folder that holds all these heads, those of one name once. Nothing in it is an identity: biases and norm weights are
    drawn as well."""
    torch.manual_seed(11)
    tensors = {}
    for head in heads:
        kind = HEADS[head]
        model = kind.from_config(AutoConfig.for_model(**config | ({"num_labels": 2} if head == "answers" else {})))
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if weight.dim() == 2:
                    weight.normal_(0.0, std)
                elif name.endswith("bias"):
                    weight.normal_(0.0, 0.05)
                else:
                    weight.normal_(1.0, 0.1)
        with tempfile.TemporaryDirectory() as saved:
            model.save_pretrained(saved)
            from safetensors.torch import load_file
            tensors = load_file(f"{saved}/model.safetensors") | tensors
            if kind is AutoModelForMaskedLM:
                config_text = pathlib.Path(saved, "config.json").read_text()
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.to(torch.bfloat16) for k, v in tensors.items()}, str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "config.json").write_text(config_text)


def sharp_inputs(vocab, types):
    length, ends = 17, [17, 6, 11]
    ids = torch.tensor([[(17 + 31 * t + 101 * b + t * t) % vocab for t in range(length)] for b in range(3)])
    token_types = torch.tensor([[(t // 3 + b) % types for t in range(length)] for b in range(3)])
    mask = torch.tensor([[int(t < end) for t in range(length)] for end in ends])
    labels = torch.tensor([[(7 * t + b) % vocab if (t + b) % 3 == 0 and t < ends[b] else -100 for t in range(length)]
                           for b in range(3)])
    return ids, token_types, mask, labels


def labels_for(head, ids):
    if head == "classes":
        return {"labels": torch.tensor([2, 0, 1])}
    if head == "answers":  # the last one ends outside the text
        return {"start_positions": torch.tensor([2, 0, 5]), "end_positions": torch.tensor([6, 3, 99])}
    return {"labels": torch.tensor([[(t + b) % 3 if t % 4 else -100 for t in range(ids.shape[1])] for b in range(ids.shape[0])])}


def make_logits(folder, path, head):
    """ids, token_types, ends, labels, logits, loss and grad_norm.NAME of every parameter. A parameter whose gradient is all
    rounding (the keys' bias, which no softmax sees) is left out."""
    torch.set_num_threads(1)
    options = {"num_labels": 2} if head == "answers" else {}
    model = HEADS[head].from_pretrained(folder, dtype=torch.float32, **options)
    model.eval()
    type_count = getattr(model.config, "type_vocab_size", 0)
    ids, types, mask, labels = sharp_inputs(model.config.vocab_size, max(type_count, 1))
    given = {"labels": labels} if head == "mlm" else labels_for(head, ids)
    out = model(input_ids=ids, attention_mask=mask, **given, **({"token_type_ids": types} if type_count else {}))
    out.loss.backward()
    logits = torch.stack((out.start_logits, out.end_logits), -1) if head == "answers" else out.logits
    tensors = {"ids": ids, "token_types": types, "ends": mask.sum(1), "labels": torch.stack(list(given.values()), -1).squeeze(-1),
               "logits": logits.detach().contiguous(), "loss": out.loss.detach().reshape(1)}
    table = model.get_input_embeddings().weight
    for name, parameter in model.named_parameters():
        if parameter is table:  # under the name that files have it by, whatever module comes first
            name = next(n for n, p in model.named_parameters(remove_duplicate=False) if p is table and "word_embeddings" in n)
        tensors[f"grad_norm.{name}"] = parameter.grad.double().norm().float().reshape(1)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(path), metadata={"format": "pt", "made_with": json.dumps(VERSIONS)})


def text_of(passage):
    return subprocess.run(["bible", passage], check=True, capture_output=True).stdout.decode("ascii", "ignore")


def cuts(text, rng):
    """Pieces of the text as ids, of lengths that differ."""
    at = 0
    while at + LONGEST < len(text):
        length = rng.randint(8, LONGEST - 2)
        yield [FIRST_BYTE + ord(c) for c in text[at:at + length]]
        at += length


def mask_row(ids, rng):
    labels = [-100] * len(ids)
    for t, token in enumerate(ids):
        if token < FIRST_BYTE or rng.random() >= 0.15:
            continue
        labels[t], kind = token, rng.random()
        ids[t] = SPECIAL["[MASK]"] if kind < 0.8 else rng.randrange(FIRST_BYTE + 128) if kind < 0.9 else token
    return {"input_ids": ids, "labels": labels}


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))


def make_data(folder):
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(5)
    rows = []
    for piece in cuts(text_of("gen1:1-20:18"), rng):
        row = mask_row([SPECIAL["[CLS]"], *piece, SPECIAL["[SEP]"]], rng)
        if any(label >= 0 for label in row["labels"]):
            rows.append(row)
    write_lines(folder / "mlm.jsonl", rows[:SAMPLES])
    # Three ways to write the same: as it is, in capitals, and without vowels.
    text = text_of("psa1:1-40:17")
    classes = [list(cuts(t, rng)) for t in (text, text.upper(), "".join(c for c in text if c not in "aeiou"))]
    rows = []
    for i in range(SAMPLES):
        label = rng.randrange(3)
        piece = classes[label][i]
        first = rng.randint(1, len(piece) + 1)
        ids = [SPECIAL["[CLS]"], *piece, SPECIAL["[SEP]"]]
        rows.append({"input_ids": ids, "token_type_ids": [0] * first + [1] * (len(ids) - first), "labels": label})
    write_lines(folder / "classes.jsonl", rows)


def ds_config(objective, stage):
    """Every option once in three runs: accumulation, clipping, weight decay and bucket size differ from stage to stage."""
    rate = 3e-3 if objective == "mlm" else 2e-3
    config = {
        "train_micro_batch_size_per_gpu": [5, 4, 2][stage], "gradient_accumulation_steps": [1, 1, 2][stage],
        "steps_per_print": 1000,
        "optimizer": {"type": "AdamW", "params": {"lr": rate, "betas": [0.9, [0.999, 0.95, 0.99][stage]],
                                                  "weight_decay": [0.01, 0.1, 0.0][stage]}},
        "scheduler": {"type": "WarmupDecayLR", "params": {"total_num_steps": 70, "warmup_min_lr": rate / 50, "warmup_max_lr": rate,
                                                          "warmup_num_steps": 10, "warmup_type": "linear"}},
        "zero_optimization": {"stage": stage},
    }
    if stage:
        config["gradient_clipping"] = [0, 0.5, 2.0][stage]
        config["zero_optimization"]["reduce_bucket_size"] = [0, 9000, 100000][stage]
    return config


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run_oracle(jobs, ranks, work):
    venv = pathlib.Path(sys.prefix) / "bin"
    env = dict(os.environ, DS_ACCELERATOR="cpu", OMP_NUM_THREADS="1", PATH=f"{venv}:{os.environ['PATH']}")
    (work / "jobs.json").write_text(json.dumps(jobs))
    with open(work / "oracle.log", "w") as log:
        done = subprocess.run(["deepspeed", "--num_accelerators", str(ranks), "--master_port", str(free_port()), str(ORACLE),
                               str(work / "jobs.json")], cwd=work, env=env, stdout=log, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise RuntimeError((work / "oracle.log").read_text()[-4000:])


def make_runs():
    entries, jobs = [], []
    for objective, data in (("mlm", "mlm"), ("sequence-classification", "classes")):
        for stage in range(3):
            name = f"bert-{objective}-z{stage}"
            folder = GOLDENS / "runs" / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "ds_config.json").write_text(json.dumps(ds_config(objective, stage), indent=2) + "\n")
            entry = {"name": name, "objective": objective, "model": "models/bert", "world_size": 2, "data": f"data/{data}.jsonl",
                     "config": f"runs/{name}/ds_config.json", "expected": f"runs/{name}/expected.jsonl", "steps": STEPS,
                     "seq_length": LONGEST, "tolerance": TOLERANCE}
            entries.append(entry)
            jobs.append({"objective": objective, "model": str(GOLDENS / entry["model"]), "data": str(GOLDENS / entry["data"]),
                         "steps": STEPS, "config": str(GOLDENS / entry["config"]), "log": str(GOLDENS / entry["expected"])})
    with tempfile.TemporaryDirectory() as work:
        run_oracle(jobs, 2, pathlib.Path(work))
    for entry in entries:
        path = GOLDENS / entry["expected"]
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        write_lines(path, [{key: row[key] for key in ("step", "loss", "lr", "grad_norm")} for row in rows])
        entry["fall_nats"] = round(sum(r["loss"] for r in rows[:5]) / 5 - sum(r["loss"] for r in rows[-5:]) / 5, 3)
        print(entry["name"], entry["fall_nats"])
    return entries


def main():
    only = sys.argv[sys.argv.index("--logits-only") + 1:] if "--logits-only" in sys.argv else []
    for name, config in ({"bert": SHARP} | KIN).items():
        if only and name not in only:
            continue
        sharp = GOLDENS / "models" / f"{name}-sharp"
        make_model(sharp, config, std=0.15, heads=HEADS)
        for head in HEADS:
            make_logits(sharp, GOLDENS / "logits" / f"{name}-{head}.safetensors", head)
    if "--logits-only" in sys.argv:
        return
    make_model(GOLDENS / "models" / "bert", TRAINED, std=0.03)
    make_data(GOLDENS / "data")
    (GOLDENS / "encoders.json").write_text(json.dumps({"made_with": VERSIONS, "script": "tests/parity/make_encoders.py",
                                                       "runs": make_runs()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
