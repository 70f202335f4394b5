#!/usr/bin/env python3
"""Trains the same GPT-2 (6 layers x 512, vocabulary 50257, 45M parameters) with ds_train and with its rivals in turn.

  benchmarks/peers/train.py [--precisions fp32 bf16 autocast] [--stages 0 1 2 3] [--offload none cpu nvme]
                            [--rivals deepspeed ddp ddp-compile single no-offload] [--first-start] [--pairs 3] [--starts 5] [--json]

Two ranks of one thread (single: one rank), sequence 256, micro-batch 2: tokens a second and the share of the GEMM peak
of the cores that this is, peak resident memory of all ranks, and seconds from exec of `deepspeed` to the first forward.
All sides read one model folder and one token file, and their losses must agree, else the comparison is refused.

deepspeed    DeepSpeed 0.19.8 under the same configuration
ddp          PyTorch's DistributedDataParallel, eager (bf16 and autocast: autocast), beside ours at stage 0
ddp-compile  the same under torch.compile
single       one rank beside PyTorch eager on one core
no-offload   our own training of the same stage with all states in memory, beside what --offload names
Offload cpu keeps optimizer states in memory, updated by the CPU's kernels; nvme keeps them, and at stage 3 the
parameters too, in files in --nvme-path; of those max_in_cpu, 1e9 elements by default, stay in memory all the same, which is all
of this model beside deepspeed (it needs larger buffers without) and none beside no-offload. Both are for deepspeed and no-offload alone.
Precision autocast is fp32 parameters under torch_autocast to bf16 on all sides; bf16 is 16-bit parameters, which plain
PyTorch has no optimizer for.
Needs ./dev build; makes the rivals' environment itself (env.sh).
"""
import argparse
import json
import os
import pathlib
import random
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = pathlib.Path(os.environ.get("PEERS_DIR", pathlib.Path.home() / ".cache/deepspeed-peers"))
SEQ_LENGTH, MICRO_BATCH, VOCAB, LAYERS, WIDTH = 256, 2, 50257, 6, 512
MODEL = dict(model_type="gpt2", n_layer=LAYERS, n_embd=WIDTH, n_head=8, n_positions=SEQ_LENGTH, vocab_size=VOCAB,
             resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
# Relative. In bf16 DeepSpeed rounds parameters and activations as we do; autocast keeps fp32 parameters.
LOSS_TOLERANCE = {"fp32": 1e-4, "bf16": 1e-2, "autocast": 1e-3}
# Forward and backward of all matrix products: 6 for each weight (the head is tied), and attention's two, half masked.
FLOPS_A_TOKEN = 6 * (LAYERS * 12 * WIDTH**2 + VOCAB * WIDTH) + 6 * LAYERS * SEQ_LENGTH * WIDTH


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precisions", nargs="+", choices=["fp32", "bf16", "autocast"], default=["fp32", "bf16"])
    parser.add_argument("--stages", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--offload", nargs="+", choices=["none", "cpu", "nvme"], default=["none"])
    parser.add_argument("--nvme-path", type=pathlib.Path, default=CACHE / "nvme", help="a folder on a disk, made where it does not exist")
    parser.add_argument("--rivals", nargs="+", choices=["deepspeed", "ddp", "ddp-compile", "single", "no-offload"], default=["deepspeed"])
    parser.add_argument("--first-start", action="store_true",
                        help="also the seconds to the first forward where DeepSpeed has compiled nothing yet, for each --offload at the last stage")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each side and case; 0: none")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--warmup", type=int, default=3, help="first steps of a run that do not count")
    parser.add_argument("--starts", type=int, default=5, help="warm starts of each side, and one more that is discarded; 0: none")
    parser.add_argument("--accumulation", type=int, default=1, help="for deepspeed alone")
    parser.add_argument("--bin", type=lambda path: pathlib.Path(path).resolve(), default=ROOT / "build/release/bin")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    return parser.parse_args()


def say(text):
    print(text, file=sys.stderr, flush=True)


def check_call(command, env, folder):
    """Runs a command, and shows the end of what it printed if it fails."""
    with tempfile.TemporaryFile("w+") as out:
        done = subprocess.run([str(c) for c in command], cwd=folder, env=env, stdout=out, stderr=subprocess.STDOUT)
        out.seek(0)
        if done.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))}\nexited with {done.returncode}:\n{out.read()[-4000:]}")


def make_inputs(venv):
    """The seeded model folder and the token file, kept for the next time."""
    folder = CACHE / "train45m"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model/model.safetensors").exists():
        say("making the model folder")
        check_call([venv / "bin/python", HERE / "oracle_train.py", "--init-model", folder / "model", "--seed", 1,
                    "--config", json.dumps(MODEL)], dict(os.environ), folder)
    # A skewed distribution, as text has: uniform ids would leave nothing to learn.
    draw = random.Random(1)
    tokens = [min(int(draw.paretovariate(0.4)) - 1, VOCAB - 1) for _ in range(200 * SEQ_LENGTH)]
    (folder / "tokens.bin").write_bytes(struct.pack(f"<{len(tokens)}H", *tokens))
    return folder


def gemm_peak(venv, precision):
    """FLOP/s of one core in a large matrix product of PyTorch's, the best of several."""
    program = """
import sys, time, torch
torch.set_num_threads(1)
n, kind = 2048, getattr(torch, sys.argv[1])
a, b, best = torch.randn(n, n).to(kind), torch.randn(n, n).to(kind), 1e9
for _ in range(8):
    t = time.perf_counter(); a @ b; best = min(best, time.perf_counter() - t)
print(2 * n**3 / best)"""
    kind = "float32" if precision == "fp32" else "bfloat16"
    return float(subprocess.run([venv / "bin/python", "-c", program, kind], check=True, capture_output=True, text=True).stdout)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Case:
    """One piece of work: what is trained how on how many ranks."""

    def __init__(self, precision, stage, ranks, accumulation, offload="none", nvme_path=None):
        self.precision, self.stage, self.ranks, self.accumulation = precision, stage, ranks, accumulation
        self.offload, self.nvme_path, self.offload_param = offload, nvme_path, {}

    def without_offload(self):
        return Case(self.precision, self.stage, self.ranks, self.accumulation)

    def zero(self):
        zero = {"stage": self.stage}
        if self.offload == "cpu":
            zero["offload_optimizer"] = {"device": "cpu"}
        if self.offload == "nvme":
            where = {"device": "nvme", "nvme_path": str(self.nvme_path)}
            zero["offload_optimizer"] = dict(where, pipeline_read=True, pipeline_write=True)
            if self.stage == 3:
                zero["offload_param"] = dict(where, **self.offload_param)
        return zero

    def config(self):
        return {"train_micro_batch_size_per_gpu": MICRO_BATCH, "gradient_accumulation_steps": self.accumulation,
                "steps_per_print": 100000, "gradient_clipping": 1.0, "zero_optimization": self.zero(),
                "bf16": {"enabled": self.precision == "bf16"},
                "torch_autocast": {"enabled": self.precision == "autocast", "dtype": "bf16"},
                "optimizer": {"type": "AdamW", "params": {"lr": 3e-4, "betas": [0.9, 0.95], "weight_decay": 0.1}}}


class Side:
    """One of those compared; `start(case)` gives the beginning of its command line, `as_run(case)` what it makes of the case."""

    def __init__(self, name, start, extra=(), as_run=lambda case: case, **env):
        self.name, self.start, self.extra, self.as_run = name, start, extra, as_run
        self.env = dict(os.environ, OMP_NUM_THREADS="1", **env)

    def run(self, inputs, case, steps, **env):
        """The rows of the log of one run."""
        case = self.as_run(case)
        with tempfile.TemporaryDirectory() as work:
            work = pathlib.Path(work)
            (work / "ds.json").write_text(json.dumps(case.config()))
            command = [*self.start(case), "--model", inputs / "model", "--data", inputs / "tokens.bin", "--seq-length", SEQ_LENGTH,
                       "--steps", steps, "--deepspeed_config", work / "ds.json", "--log-jsonl", work / "log.jsonl", *self.extra]
            check_call(command, dict(self.env, PEER_T0=repr(time.time()), **env), work)
            rows = [json.loads(line) for line in (work / "log.jsonl").read_text().splitlines()]
        if len(rows) != steps:
            sys.exit(f"{self.name} logged {len(rows)} steps of {steps}")
        return rows


def make_sides(options, venv):
    def launched(launcher, program):
        return lambda case: [launcher, "--num_accelerators", case.ranks, "--master_port", free_port(), program]

    def plain(case):
        start = ["-m", "torch.distributed.run", "--nproc-per-node", case.ranks, "--master-port", free_port()] if case.ranks > 1 else []
        return [venv / "bin/python", *start, HERE / "torch_train.py"]

    path = f"{venv / 'bin'}:{os.environ['PATH']}"
    ds_train, flags = launched(options.bin / "deepspeed", options.bin / "ds_train"), ["--no-shuffle", "--quiet"]
    return {
        "ours": Side("ds_train", ds_train, flags),
        "no-offload": Side("ds_train, no offload", ds_train, flags, as_run=Case.without_offload),
        "deepspeed": Side("DeepSpeed 0.19.8", launched(venv / "bin/deepspeed", HERE / "oracle_train.py"), DS_ACCELERATOR="cpu", PATH=path),
        "ddp": Side("PyTorch DDP", plain, PATH=path),
        "ddp-compile": Side("PyTorch DDP, torch.compile", plain, ["--compile"], PATH=path),
        "single": Side("PyTorch eager", plain, PATH=path),
    }


def in_turn(sides, number, run):
    """Results of both sides, each going first every other time."""
    order = sides if number % 2 == 0 else sides[::-1]
    results = {side.name: run(side) for side in order}
    return [results[side.name] for side in sides]


def check_same_work(ours, theirs, case):
    worst = max(abs(a["loss"] - b["loss"]) / abs(b["loss"]) for a, b in zip(ours, theirs))
    if not worst <= LOSS_TOLERANCE[case.precision]:
        sys.exit(f"{case.precision}, stage {case.stage}: the losses differ by {worst:.2e} relative, more than "
                 f"{LOSS_TOLERANCE[case.precision]}: not the same work")
    return worst


def row_of(name, unit, ours, theirs, rival, higher_is_better, limit=None):
    ratios = [a / b if higher_is_better else b / a for a, b in zip(ours, theirs)]
    return dict(name=name, unit=unit, ours=statistics.median(ours), rival=statistics.median(theirs), rival_name=rival,
                ratio=statistics.median(ratios), limit=limit, cpu=cpu_name())


def cpu_name():
    """The processor and those of its features that matter here."""
    lines = dict(line.split(":", 1) for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in lines.items()}
    flags = [f for f in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16") if f in fields.get("flags", "").split()]
    return " ".join([fields.get("model name", "unknown processor"), *flags])


def measure(options, sides, inputs, case, name, peak):
    speeds, peaks = ([], []), ([], [])
    for pair in range(options.pairs):
        logs = in_turn(sides, pair, lambda side: side.run(inputs, case, options.steps))
        worst = check_same_work(*logs, case)
        for side, rows in enumerate(logs):
            speeds[side].append(statistics.median(row["tokens_per_s"] for row in rows[options.warmup:]))
            peaks[side].append(max(row["rss_bytes_all_ranks"] for row in rows if "rss_bytes_all_ranks" in row) / 2**20)
        say(f"{name}, pair {pair + 1}: {speeds[0][-1]:.0f} and {speeds[1][-1]:.0f} tokens/s, "
            f"{peaks[0][-1]:.0f} and {peaks[1][-1]:.0f} MiB, losses within {worst:.1e}")
    rival = sides[1].name
    yield row_of(name, "tokens/s", *speeds, rival, higher_is_better=True, limit=case.ranks * peak / FLOPS_A_TOKEN)
    yield row_of(name + "_peak_rss", "MiB", *peaks, rival, higher_is_better=False)


def measure_starts(options, sides, inputs, case):
    starts = ([], [])
    for number in range(options.starts + 1):
        logs = in_turn(sides, number, lambda side: side.run(inputs, case, 1))
        if number > 0:  # the first warms the page cache
            for side, rows in enumerate(logs):
                starts[side].append(rows[0]["start_s"])
            say(f"start {number}: {starts[0][-1]:.2f} and {starts[1][-1]:.2f} s")
    yield row_of("train_start", "s", *starts, sides[1].name, higher_is_better=False)


def measure_first_starts(options, sides, inputs):
    """Each side once, with an empty folder for what DeepSpeed compiles; what both read from disk is warm."""
    for offload in options.offload:
        case = Case("fp32", options.stages[-1], 2, 1, offload, options.nvme_path)
        for side in sides:
            side.run(inputs, case, 1)
        with tempfile.TemporaryDirectory() as empty:
            starts = [side.run(inputs, case, 1, TORCH_EXTENSIONS_DIR=empty)[0]["start_s"] for side in sides]
        yield row_of(f"first_start_stage{case.stage}_{offload}", "s", *[[s] for s in starts], sides[1].name, higher_is_better=False)


def cases(options, rival):
    for precision in options.precisions:
        if rival in ("deepspeed", "no-offload"):
            for stage in options.stages:
                for offload in options.offload:
                    if offload != "none" or rival == "deepspeed":
                        case = Case(precision, stage, 2, options.accumulation, offload, options.nvme_path)
                        if rival == "no-offload":
                            case.offload_param = {"max_in_cpu": 0}
                        yield f"train_{precision}_stage{stage}" + (f"_{offload}" if offload != "none" else "") + (
                            "_kept" if rival == "no-offload" else ""), case
        else:
            yield f"train_{precision}_{rival}", Case(precision, 0, 1 if rival == "single" else 2, 1)


def show(row, as_json):
    if as_json:
        print(json.dumps(row), flush=True)
        return
    share = f"  {row['ours'] / row['limit']:.0%} of GEMM peak, rival {row['rival'] / row['limit']:.0%}" if row["limit"] else ""
    print(f"{row['name']:<32}{row['ours']:>10.2f}{row['rival']:>10.2f} {row['unit']:<9}{row['ratio']:>7.2f}x  "
          f"{row['rival_name']}{share}", flush=True)


def main():
    options = parse()
    for program in ("deepspeed", "ds_train"):
        if not (options.bin / program).exists():
            sys.exit(f"{options.bin / program} does not exist: run ./dev build, or give --bin")
    options.nvme_path.mkdir(parents=True, exist_ok=True)
    if options.warmup >= options.steps:
        sys.exit("--warmup must be less than --steps")
    venv = pathlib.Path(subprocess.run([str(HERE / "env.sh"), "ds"], check=True, capture_output=True, text=True).stdout.split()[-1])
    inputs, sides = make_inputs(venv), make_sides(options, venv)
    if not options.json:
        print(f"{'':<32}{'ours':>10}{'rival':>10} {'':<9}{'ratio':>8}  (above 1: ours better; {cpu_name()})")
    if options.starts:
        for row in measure_starts(options, [sides["ours"], sides["deepspeed"]], inputs, Case("fp32", 2, 2, 1)):
            show(row, options.json)
    if options.first_start:
        for row in measure_first_starts(options, [sides["ours"], sides["deepspeed"]], inputs):
            show(row, options.json)
    peaks = {precision: gemm_peak(venv, precision) for precision in options.precisions}
    for rival in options.rivals if options.pairs else []:
        for name, case in cases(options, rival):
            for row in measure(options, [sides["ours"], sides[rival]], inputs, case, name, peaks[case.precision]):
                show(row, options.json)


if __name__ == "__main__":
    main()
