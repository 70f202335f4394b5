#!/usr/bin/env python3
"""Reads and writes one file with a handle of deepspeed/aio and with fio in turn, past the page cache.

  benchmarks/peers/aio.py [--folder FOLDER] [--size 2G] [--blocks 128K 1M] [--depths 8 32] [--pairs 5]
                          [--rivals libaio io_uring] [--backend auto] [--json]

Both sides get the same file, block size and queue depth, one job, sequential, O_DIRECT; the file is made once, full of random
bytes. They run in the order ABBA, and what counts are medians: bandwidth, and processor seconds (user and system) for each GB
moved, of fio as it reports them itself and of ours from getrusage around the transfers. fio leaves its clocks out
(gtod_reduce), which would be a quarter of its processor time; its blocks lie in ordinary pages, ours in huge ones where the
kernel has them. Needs fio and ./dev build.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def size(text):
    return int(text[:-1]) * UNITS[text[-1]] if text[-1:] in UNITS else int(text)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default=ROOT / "build", help="on the disk to be measured")
    parser.add_argument("--size", type=size, default=size("2G"), help="of the file")
    parser.add_argument("--directions", nargs="+", choices=["read", "write"], default=["read", "write"])
    parser.add_argument("--blocks", nargs="+", default=["128K", "1M"])
    parser.add_argument("--depths", nargs="+", type=int, default=[8, 32])
    parser.add_argument("--pairs", type=int, default=5, help="runs of each side and case")
    parser.add_argument("--rivals", nargs="+", choices=["libaio", "io_uring"], default=["libaio", "io_uring"])
    parser.add_argument("--backend", default="auto", help="of ours: io_uring, libaio or thread_pool")
    parser.add_argument("--bin", type=lambda path: pathlib.Path(path).resolve(), default=ROOT / "build/release/bin")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    return parser.parse_args()


def output_of(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nexited with {done.returncode}:\n{done.stderr[-2000:]}{done.stdout[-2000:]}")
    return json.loads(done.stdout[done.stdout.index("{"):])


def make_file(path, bytes_wanted):
    """Written once, so that no write measured later has to find room on the disk."""
    piece = os.urandom(1 << 24)
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, bytes_wanted)
        for offset in range(0, bytes_wanted, len(piece)):
            file.write(piece[:bytes_wanted - offset])
        file.flush()
        os.fsync(file.fileno())


class Run:
    """Bandwidth in GB/s and processor seconds a GB of one run."""

    def __init__(self, moved, seconds, cpu):
        self.speed, self.cpu = moved / seconds / 1e9, cpu / (moved / 1e9)


def run_ours(args, path, direction, block, depth):
    r = output_of([args.bin / "aio_bench", path, direction, size(block), depth, args.backend])
    return Run(r["bytes"], r["seconds"], r["cpu"])


def run_fio(engine, path, direction, block, depth):
    job = output_of(["fio", "--output-format=json", "--name=job", f"--filename={path}", f"--rw={direction}", f"--bs={block}",
                     f"--iodepth={depth}", f"--ioengine={engine}", "--direct=1", "--thread", "--gtod_reduce=1"])["jobs"][0]
    seconds = job[direction]["runtime"] / 1e3
    # The shares are of the whole job, which is a little longer than its transfers.
    cpu = (job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] / 1e3
    return Run(job[direction]["io_bytes"], seconds, cpu)


def compare(args, path, direction, block, depth, rival):
    ours, theirs = [], []
    for pair in range(args.pairs):
        for mine in ((True, False) if pair % 2 == 0 else (False, True)):
            if mine:
                ours.append(run_ours(args, path, direction, block, depth))
            else:
                theirs.append(run_fio(rival, path, direction, block, depth))
    median = lambda runs, field: statistics.median(getattr(run, field) for run in runs)
    ratio = lambda field: statistics.median(getattr(a, field) / getattr(b, field) for a, b in zip(ours, theirs))
    return {
        "name": f"aio_{direction}_{block}_depth{depth}", "unit": "GB/s", "ours": round(median(ours, "speed"), 3),
        "rival": round(median(theirs, "speed"), 3), "rival_name": f"fio {rival}", "ratio": round(ratio("speed"), 3),
        "ours_cpu": round(median(ours, "cpu"), 4), "rival_cpu": round(median(theirs, "cpu"), 4),
        "cpu_ratio": round(1 / ratio("cpu"), 3)}


def main():
    args = parse()
    with tempfile.TemporaryDirectory(prefix="aio_bench_", dir=args.folder) as folder:
        path = pathlib.Path(folder) / "file"
        make_file(path, args.size)
        if not args.json:
            print(f"{'':28}{'rival':>14}{'ours':>8}{'rival':>8} GB/s{'ratio':>8}{'ours':>10}{'rival':>8} s/GB{'less by':>9}")
        for direction in args.directions:
            for block in args.blocks:
                for depth in args.depths:
                    for rival in args.rivals:
                        row = compare(args, path, direction, block, depth, rival)
                        print(json.dumps(row) if args.json else
                              f"{row['name']:28}{row['rival_name']:>14}{row['ours']:8.2f}{row['rival']:8.2f}     "
                              f"{row['ratio']:8.3f}{row['ours_cpu']:10.3f}{row['rival_cpu']:8.3f}     {row['cpu_ratio']:9.2f}",
                              flush=True)


if __name__ == "__main__":
    main()
