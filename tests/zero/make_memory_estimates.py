"""What DeepSpeed's memory estimators print, for memory_estimate_test.cpp.

  DS_ACCELERATOR=cpu python tests/zero/make_memory_estimates.py tests/zero/goldens/memory_estimates.json

needs deepspeed 0.19.8. From Python 3.11 on it prints the class of its enumeration too ("OffloadDeviceEnum.cpu"),
which its documentation and older Pythons do not: that is left out here."""

import contextlib
import io
import json
import sys

from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs_all_cold as zero3
from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs_all_cold as zero2

# Parameters in all, of the largest layer, GPUs a node, nodes, buffer factor. The first row is the documentation's t5-3b.
CASES = [(2851598336, 32899072, 8, 1, 1.5), (2851598336, 32899072, 1, 1, 1.5), (124439808, 38597376, 1, 1, 1.5),
         (124439808, 38597376, 2, 3, 1.5), (6738415616, 131072000, 8, 7, 1.5), (45112321, 1000003, 3, 3, 1.25),
         (999999, 123457, 4, 2, 2), (1, 1, 1, 1, 1.5), (175000000000, 617558016, 8, 128, 1.5)]


def printed(estimate, *arguments, **rest):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        estimate(*arguments, **rest)
    return out.getvalue().replace("OffloadDeviceEnum.cpu", "cpu ")


def main():
    rows = []
    for total, largest, gpus, nodes, factor in CASES:
        rest = {"num_gpus_per_node": gpus, "num_nodes": nodes, "additional_buffer_factor": factor}
        rows.append({"total_params": total, "largest_layer_params": largest, **rest,
                     "zero2": printed(zero2, total, **rest), "zero3": printed(zero3, total, largest, **rest)})
    with open(sys.argv[1], "w") as out:
        json.dump(rows, out, indent=1)
        out.write("\n")


if __name__ == "__main__":
    main()
