#!/usr/bin/env python3
"""Writes runner_golden.json: DeepSpeed's command lines for mpirun and srun, and shlex's splitting of --launcher_args.

    PYTHON_WITH_DEEPSPEED tests/launcher/make_runner_golden.py

Made with deepspeed 0.19.8. The interpreter's path becomes PYTHON. mpich's `PYTHON -u [-m] .../launcher_helper.py --launcher
mpich` becomes MAPPER, since `deepspeed --map_rank` stands in its place.
"""
import argparse
import json
import pathlib
import shlex
import sys

from deepspeed.launcher import multinode_runner as real
from deepspeed.utils import numa

CLASSES = {"openmpi": real.OpenMPIRunner, "mpich": real.MPICHRunner, "impi": real.IMPIRunner, "slurm": real.SlurmRunner}
ONE = {"localhost": [0, 1]}
TWO = {"worker-0": [0, 1, 2, 3], "worker-1": [0, 1, 2, 3]}
UNEQUAL = {"worker-0": [0, 1], "worker-1": [0]}
EXPORTS = [["NCCL_DEBUG", "INFO"], ["PYTHONPATH", "/home/me/src:/opt/lib"], ["UCX_TLS", "rc"]]
DEFAULTS = {
    "hosts": ONE, "hostfile": "/job/hostfile", "master_addr": "127.0.0.1", "master_port": 29500, "launcher_args": "",
    "include": "", "exclude": "", "num_nodes": -1, "num_gpus": -1, "no_python": False, "module": False,
    "bind_cores_to_rank": False, "bind_core_list": None, "slurm_comment": "", "exports": [], "user_script": "train.py",
    "user_args": [],
}
COMMON = [
    {},
    {"hosts": TWO, "master_addr": "10.0.0.1", "master_port": 29511},
    {"hosts": UNEQUAL},
    {"user_args": ["--lr", "1e-4", "a b", "$(id)", "--local_rank=7", ""]},
    {"exports": EXPORTS},
    {"launcher_args": "--verbose -x 'A=b c' --tag \"d \\\" e\" f\\ g"},
]
PYTHON_FLAGS = [{"no_python": True, "user_script": "./train"}, {"module": True, "user_script": "pkg.train", "user_args": ["x"]}]
LIMITS = [{"include": "localhost:0"}, {"exclude": "localhost:1"}, {"num_nodes": 1}, {"num_gpus": 2}]
VARIANTS = {
    "openmpi": COMMON + PYTHON_FLAGS + LIMITS + [
        {"hostfile": "my hosts"},
        {"launcher_args": "--mca btl_tcp_if_include lo"},
        {"launcher_args": "-mca btl_tcp_if_include lo --oversubscribe"},
        {"launcher_args": "--mca"},
    ],
    "mpich": COMMON + PYTHON_FLAGS + LIMITS,
    "impi": COMMON + PYTHON_FLAGS + LIMITS + [
        {"bind_cores_to_rank": True},
        {"bind_cores_to_rank": True, "bind_core_list": "0,2,4-7"},
        {"bind_cores_to_rank": True, "hosts": TWO, "exports": EXPORTS},
    ],
    "slurm": COMMON + [
        {"slurm_comment": "a b"},
        {"num_gpus": 2},
        {"num_nodes": 1, "hosts": {"worker-0": [0, 1, 2, 3]}},
        {"num_nodes": 2, "num_gpus": 4, "hosts": TWO},
        {"include": "worker-0@worker-1", "hosts": TWO},
        {"exclude": "worker-2", "hosts": TWO, "slurm_comment": "c", "launcher_args": "-p all"},
        {"include": "worker-0:1", "hosts": {"worker-0": [1]}},
    ],
}
TEXTS = ["", " ", "a", "a b", "  a\tb\n c\r", "'a b' c", "\"a b\"c", "''", "a '' b", "a\\ b", "\\\\", "'a\\b'", "\"a\\b\"",
         "\"a\\\"b\"", "\"a\\\\b\"", "\"a\\$b\"", "a'b'\"c\"d", "--x=\"1 2\"", "$HOME `id` $(id) *", "a#b #c", "a;b|c&d", "'", "\"",
         "a\\", "'a\\", "\"a\\", "\"a'b\"", "'a\"b'", "\u00e4 \u4e16"]


def words_of(launcher, case):
    arguments = argparse.Namespace(launcher=launcher, detect_nvlink_pairs=False, **{k: case[k] for k in case if k not in ("hosts", "exports")})
    pool = {host: len(slots) for host, slots in case["hosts"].items()}
    runner = CLASSES[launcher](arguments, "", pool)
    for name, value in case["exports"]:
        runner.add_export(name, value)
    words = ["PYTHON" if word == sys.executable else word for word in runner.get_cmd({}, case["hosts"])]
    helper = [i for i, word in enumerate(words) if word.endswith("/launcher_helper.py")]
    if helper:
        start = words.index("PYTHON") if "PYTHON" in words else helper[0]
        words[start:helper[0] + 3] = ["MAPPER"]
    return words


def answer(launcher, variant):
    case = DEFAULTS | variant
    try:
        return {"launcher": launcher} | case | {"words": words_of(launcher, case)}
    except ValueError:
        return {"launcher": launcher} | case | {"error": True}


def split(text):
    try:
        return {"text": text, "words": shlex.split(text)}
    except ValueError:
        return {"text": text, "error": True}


def main():
    numa.check_for_numactl_pkg = lambda: True
    numa.get_numa_cores = lambda: [[0, 1, 2, 3], [4, 5, 6, 7]]
    numa.psutil.cpu_count = lambda logical: 8
    lines = lambda rows: "[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]"
    commands = [answer(launcher, variant) for launcher, variants in VARIANTS.items() for variant in variants]
    text = '{"commands":' + lines(commands) + ',\n"splits":' + lines([split(text) for text in TEXTS]) + "}\n"
    pathlib.Path(__file__).with_name("runner_golden.json").write_text(text)


if __name__ == "__main__":
    main()
