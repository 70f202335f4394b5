#!/usr/bin/env python3
"""Writes core_binding_golden.json: what DeepSpeed's utils/numa.py answers for core lists, rank counts and machines.

    PYTHON_WITH_DEEPSPEED tests/launcher/make_core_binding_golden.py

Made with deepspeed 0.19.8. Each case holds the list (null: all physical cores), the ranks, the physical cores, the nodes'
cores, and either cores_per_rank and numactl's words of every rank, or "error".
"""
import json
import pathlib

from deepspeed.utils import numa

MACHINES = {
    "one node": (8, [list(range(8))]),
    "two nodes": (16, [list(range(8)), list(range(8, 16))]),
    "interleaved": (8, [[0, 2, 4, 6], [1, 3, 5, 7]]),
    "two nodes, two threads a core": (8, [[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]]),
    "flat HBM": (8, [[0, 1, 2, 3], [4, 5, 6, 7], [], []]),
    "flat HBM, paired": (8, [[0, 1, 2, 3], [], [4, 5, 6, 7], []]),
    "memory without partner": (8, [[0, 1, 2, 3], [4, 5, 6, 7], []]),
    "fake NUMA": (8, [[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 7], [4, 5, 6, 7]]),
    "half fake NUMA": (8, [[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 7]]),
    "fake NUMA at the end": (8, [[0, 1, 2, 3], [4, 5, 6, 7], [4, 5, 6, 7]]),
    "no numactl": (4, []),
}
LISTS = [None, "0-7", "0,2,4,6", "1,3-5,7", "2-3,5", "0", "4-7", "0-1,4-5", "7", "0-3,6-7"]
BAD_LISTS = ["", ",", "1,", "a", "1-", "-1", "3-1", "2,1", "1-3,3", "1-2-3", "0,0", "1;2"]
RANKS = [1, 2, 3, 4, 5, 8]


def answer(cores, ranks, physical, nodes):
    numa.check_for_numactl_pkg = lambda: True
    numa.get_numa_cores = lambda: nodes
    numa.psutil.cpu_count = lambda logical: physical
    case = {"list": cores, "ranks": ranks, "physical": physical, "nodes": nodes}
    try:
        answers = [numa.get_numactl_cmd(cores, ranks, rank) for rank in range(ranks)]
        return case | {"cores_per_rank": answers[0][0], "numactl": [words for _, words in answers]}
    except (ValueError, AssertionError):
        return case | {"error": True}


def main():
    cases = [answer(cores, ranks, *machine) for machine in MACHINES.values() for cores in LISTS for ranks in RANKS]
    cases += [answer(cores, 1, *MACHINES["one node"]) for cores in BAD_LISTS]
    text = "[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]\n"
    pathlib.Path(__file__).with_name("core_binding_golden.json").write_text(text)


if __name__ == "__main__":
    main()
