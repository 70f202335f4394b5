#!/usr/bin/env python3
"""Measures what model states take a parameter and rank, beside the formulas of ZeRO (./dev bench memory).

  benchmarks/memory/table.py [--ranks 1 2 4] [--stages 0 1 2 3] [--offload none cpu nvme] [--precisions fp32 bf16]
                             [--limit-gib 10] [--large | --largest | --loading] [--json]

A GPT-2 of 12 layers x 768 with a vocabulary of 1024 takes two steps of Adam. Columns, all in bytes a parameter on the rank that
has the most: the formula, the engine's own account (tensor by tensor), what libtorch has allocated between steps, and what the
operating system counts (/proc) beyond the memory before the model was there, one of its layers having been trained by then: what
that leaves in the libraries (MKL's packing buffers, oneDNN's kernels; in MB a rank, not a parameter) is the column `once`. Allocated
and resident must be within 5 % of the formula and `slack`: one bucket, at stage 3 the largest Block and parameter (a prefetch ends with the one that passes its bucket), with the optimizer on a disk
the tiles of its pipeline, with parameters there a queue of reads (queue_depth blocks). A row that is not says so, and the exit status is 1.
--large trains a GPT-2 of 1.5B parameters (48 x 1600) instead, stage 3 with all states on NVMe, for three steps on two ranks, and
watches that both together stay below the limit. --largest looks for the deepest model of width 2560 that takes a step in the same
placement on this machine: it begins with what memory and disk should hold and goes down by a tenth after each failure.
--loading exports a GPT-2 of 0.2B parameters as a Hugging Face folder, trains it by ds_train at stage 3 on two ranks in the chosen
placements, and compares the most resident memory (file pages included, sampled) until the first forward with that of the later
steps: the exit status is 1 if loading takes more than 15 % above it.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from limit import MemoryLimit

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = dict(layers=12, hidden=768, vocabulary=1024, length=128)
LARGE = dict(layers=48, hidden=1600, vocabulary=50257, length=256)
BUCKET = 1_000_000
TILES, TILE_ELEMENTS = 3, 2**18
AIO_QUEUE = 8 * 2**20  # queue_depth x block_size: parts that lie at odd places are read through buffers of this size


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--stages", nargs="+", type=int, default=[0, 1, 2, 3])
    parser.add_argument("--offload", nargs="+", choices=["none", "cpu", "nvme"], default=["none", "cpu", "nvme"])
    parser.add_argument("--precisions", nargs="+", choices=["fp32", "bf16"], default=["fp32", "bf16"])
    parser.add_argument("--nvme-path", type=pathlib.Path, default=pathlib.Path.home() / ".cache/deepspeed-peers/nvme")
    parser.add_argument("--bin", type=lambda path: pathlib.Path(path).resolve(), default=ROOT / "build/release/bin")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--largest", action="store_true")
    parser.add_argument("--loading", action="store_true")
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--limit-gib", type=float, default=10)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def config(options, precision, stage, offload, **zero):
    zero = dict(stage=stage, reduce_bucket_size=BUCKET, stage3_prefetch_bucket_size=BUCKET, stage3_max_live_parameters=BUCKET,
                stage3_max_reuse_distance=0, stage3_param_persistence_threshold=0, sub_group_size=TILE_ELEMENTS, **zero)
    if offload != "none":
        zero["offload_optimizer"] = dict(device=offload)
    if offload == "nvme":
        zero["offload_optimizer"] = dict(device="nvme", nvme_path=str(options.nvme_path), pipeline_read=True, pipeline_write=True)
        if stage == 3:
            zero["offload_param"] = dict(device="nvme", nvme_path=str(options.nvme_path), max_in_cpu=0)
    return {"train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 1, "steps_per_print": 100000,
            "bf16": {"enabled": precision == "bf16"}, "zero_optimization": zero,
            "optimizer": {"type": "AdamW", "params": {"lr": 1e-4}}}


def formula(precision, stage, offload, ranks):
    """Bytes a parameter in memory and on disk: parameters, gradients, Adam's moments and, in 16 bits, a master copy."""
    width = 4 if precision == "fp32" else 2
    parameters = width / (ranks if stage == 3 else 1)
    gradients = width / (ranks if stage >= 2 else 1)
    optimizer = (8 if precision == "fp32" else 12) / (ranks if stage >= 1 else 1)
    if offload != "nvme":
        return parameters + gradients + optimizer, 0
    if stage < 3:
        return parameters + gradients, optimizer
    # Parameters on a disk are the optimizer's own copy too where they are fp32 already; that is kept apart.
    return gradients, parameters + optimizer + (width / ranks if precision == "fp32" else 0)


def command(options, ranks, model, configuration, steps, work):
    (work / "ds.json").write_text(json.dumps(configuration))
    port = 20000 + os.getpid() % 20000
    return [options.bin / "deepspeed", "--num_accelerators", ranks, "--master_port", port, "--no_local_rank", options.bin / "memory_bench", work / "ds.json",
            *[model[key] for key in ("layers", "hidden", "vocabulary", "length")], steps]


def run(options, ranks, model, configuration, steps, watch=None):
    with tempfile.TemporaryDirectory() as work:
        words = [str(word) for word in command(options, ranks, model, configuration, steps, pathlib.Path(work))]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   env=dict(os.environ, OMP_NUM_THREADS="1"))
        watcher = threading.Thread(target=watch, args=(process,)) if watch else None
        if watcher:
            watcher.start()
        output = process.communicate()[0]
        if watcher:
            watcher.join()
    rows = [line[line.index("{"):] for line in output.splitlines() if '"largest_block"' in line]
    if process.returncode != 0 or not rows:
        sys.exit(f"{' '.join(words)}\nexited with {process.returncode}:\n{output[-4000:]}")
    return json.loads(rows[-1])


def try_run(*arguments):
    """What run() gives, or nothing where it failed."""
    try:
        return run(*arguments)
    except SystemExit as error:
        print("\n".join(str(error).splitlines()[-2:]), file=sys.stderr)
        return None


def table(options):
    if not options.json:
        print(f"{'':<24}{'formula':>9}{'account':>9}{'allocated':>11}{'resident':>10}{'slack':>8}{'disk':>8}{'formula':>9}{'once':>6}   bytes a parameter a rank")
    worst = 0
    for precision in options.precisions:
        for ranks in options.ranks:
            for stage in options.stages:
                for offload in options.offload:
                    measured = run(options, ranks, MODEL, config(options, precision, stage, offload), options.steps or 2)
                    numel, width = measured["numel"], 4 if precision == "fp32" else 2
                    want, want_disk = formula(precision, stage, offload, ranks)
                    slack = BUCKET * width
                    if stage == 3:
                        slack += (measured["largest_block"] + 4 * MODEL["hidden"]**2) * width  # a prefetch ends with the parameter that passes the bucket
                    if offload == "nvme":
                        slack += TILES * TILE_ELEMENTS * 12 + (AIO_QUEUE if stage == 3 else 0)
                    most = {key: measured[key]["most"] / numel for key in ("parameters", "gradients", "optimizer", "gathered", "buckets", "allocated", "own", "on_disk")}
                    account = most["parameters"] + most["gradients"] + most["optimizer"]
                    row = dict(name=f"{precision}_{ranks}ranks_stage{stage}_{offload}", formula=want, account=account, allocated=most["allocated"],
                               resident=most["own"], slack=slack / numel, disk=most["on_disk"], disk_formula=want_disk,
                               once_mb=measured["once"]["most"] / 1e6)
                    within = [want * 0.95 <= row[what] <= want * 1.05 + row["slack"] for what in ("allocated", "resident")]
                    row["within"] = all(within) and want_disk * 0.95 <= row["disk"] <= want_disk * 1.05 + 0.1
                    worst += not row["within"]
                    if options.json:
                        print(json.dumps(row), flush=True)
                    else:
                        print(f"{row['name']:<24}{want:>9.2f}{account:>9.2f}{row['allocated']:>11.2f}{row['resident']:>10.2f}{row['slack']:>8.2f}"
                              f"{row['disk']:>8.2f}{want_disk:>9.2f}{row['once_mb']:>6.0f}{'' if row['within'] else '   outside 5 % and the slack'}", flush=True)
    return worst


def descendants(pid):
    """The process and all below it."""
    found = [pid]
    for parent in found:  # grows as children are found
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                found += map(int, pathlib.Path(f"/proc/{parent}/task/{task}/children").read_text().split())
        except OSError:
            pass  # it has ended
    return found


def own_bytes(pid):
    """Anonymous and shared resident memory: what a limit counts of a process."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon:", "RssShmem:")))


def on_disk(options, bucket, tile):
    configuration = config(options, "bf16", 3, "nvme")
    configuration["zero_optimization"]["reduce_bucket_size"] = bucket
    configuration["zero_optimization"]["sub_group_size"] = tile
    return configuration


def largest(options):
    options.nvme_path.mkdir(parents=True, exist_ok=True)
    disk = shutil.disk_usage(options.nvme_path).free
    memory = next(int(line.split()[1]) * 1024 for line in open("/proc/meminfo") if line.startswith("MemAvailable:"))
    width, vocabulary = 2560, 50257
    layer = 12 * width**2 + 13 * width
    fixed = 4 * vocabulary * width * 2 + 3e9  # gathered embeddings with their gradients, libraries, tiles
    numel = min(disk * 0.9 / 14, (memory * 0.9 - fixed) / 2)  # 14 bytes on the disk, gradients of 2 in memory
    layers = int((numel - vocabulary * width) / layer)
    while layers >= 1:
        begin = time.time()
        measured = try_run(options, 2, dict(layers=layers, hidden=width, vocabulary=vocabulary, length=128), on_disk(options, 50_000_000, 2**24), 1)
        if measured:
            print(f"{measured['numel'] / 1e9:.2f}B parameters ({layers} layers x {width}) take a step in {time.time() - begin:.0f} s with start; "
                  f"{memory / 2**30:.1f} GiB of memory and {disk / 1e9:.0f} GB of disk were free, {measured['peak']['sum'] / 2**30:.1f} GiB and "
                  f"{measured['on_disk']['sum'] / 1e9:.0f} GB were taken")
            return 0
        print(f"{layers} layers: failed", file=sys.stderr)
        layers = min(layers - 1, int(layers * 0.9))
    return 1


def large(options):
    need = 25e9
    options.nvme_path.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(options.nvme_path).free
    if free < need:
        print(f"skipped: a model of 1.5B parameters wants {need / 1e9:.0f} GB in {options.nvme_path}, there are {free / 1e9:.0f}")
        return 0
    peak, begin = [0], time.time()

    def watch(process):
        while process.poll() is None:
            peak[0] = max(peak[0], sum(map(own_bytes, descendants(process.pid))))
            time.sleep(0.1)

    limit = MemoryLimit(options.limit_gib)
    with limit:
        measured = run(options, 2, LARGE, on_disk(options, 20_000_000, 2**24), options.steps or 3, watch)
    gib, numel = peak[0] / 2**30, measured["numel"]
    print(f"{numel / 1e9:.2f}B parameters, 2 ranks, stage 3, all states on NVMe: {len(measured['losses'])} steps in {time.time() - begin:.0f} s, "
          f"losses {', '.join(f'{loss:.4f}' for loss in measured['losses'])}; at most {gib:.2f} GiB of anonymous and shared memory, all processes, "
          f"sampled every 0.1 s (limit {options.limit_gib:g}); {limit.what}; {measured['on_disk']['sum'] / 1e9:.1f} GB on disk. Without offload "
          f"the states alone take {16 * numel / 2**30:.1f} GiB over all ranks at stage 3, {32 * numel / 2**30:.1f} at stage 0")
    return gib > options.limit_gib


def resident_bytes(pid):
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def ds_train(options, work, configuration, *more):
    (work / "ds.json").write_text(json.dumps(configuration))
    words = [options.bin / "deepspeed", "--num_accelerators", 2, "--master_port", 20000 + os.getpid() % 20000, options.bin / "ds_train", "--quiet",
             "--data", work / "data.bin", "--seq-length", 128, "--deepspeed_config", work / "ds.json", *more]
    return subprocess.Popen([str(word) for word in words], env=dict(os.environ, OMP_NUM_THREADS="1"))


def loading(options):
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        (work / "new").mkdir()
        (work / "new/config.json").write_text(json.dumps(dict(
            model_type="gpt2", n_layer=14, n_embd=1024, n_head=16, vocab_size=8192, n_positions=128, embd_pdrop=0, attn_pdrop=0, resid_pdrop=0)))
        (work / "data.bin").write_bytes(bytes(word for i in range(40_000) for word in (i * 7 % 8192).to_bytes(2, "little")))
        if ds_train(options, work, config(options, "fp32", 3, "none"), "--model", work / "new", "--steps", 1, "--export", work / "model").wait() != 0:
            sys.exit("the model could not be made")
        for precision in options.precisions:
            for offload in options.offload:
                samples, log = [], work / f"{precision}_{offload}.jsonl"
                begin = time.time()
                process = ds_train(options, work, config(options, precision, 3, offload), "--model", work / "model", "--steps", 5, "--log-jsonl", log)
                while process.poll() is None:
                    samples.append((time.time() - begin, sum(map(resident_bytes, descendants(process.pid)))))
                    time.sleep(0.005)
                if process.returncode != 0:
                    sys.exit(f"ds_train exited with {process.returncode}")
                ready = json.loads(log.read_text().splitlines()[0])["start_s"]
                before, after = (max(bytes for at, bytes in samples if (at < ready) == early) for early in (True, False))
                worst += before > 1.15 * after
                row = dict(name=f"loading_{precision}_{offload}", loading_gib=before / 2**30, steps_gib=after / 2**30, ratio=before / after, samples=len(samples))
                print(json.dumps(row) if options.json else f"{row['name']:<20} at most {row['loading_gib']:.2f} GiB until the first forward, {row['steps_gib']:.2f} "
                      f"in the steps: {row['ratio']:.2f} (both ranks, {len(samples)} samples){'' if before <= 1.15 * after else '   above 1.15'}", flush=True)
    return worst


def main():
    options = parse()
    work = largest if options.largest else large if options.large else loading if options.loading else table
    sys.exit(1 if work(options) else 0)


if __name__ == "__main__":
    main()
