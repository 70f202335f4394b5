"""Files that torch.save wrote, which formats::TorchFile must read. Element i of each tensor's storage is i, so that the
tests know what a view of it holds.

  $(benchmarks/peers/env.sh ds)/bin/python tests/formats/make_torch_goldens.py      (made with torch 2.11.0)
"""
import collections
import json
import pathlib

import torch

HERE = pathlib.Path(__file__).resolve().parent / "goldens" / "torch"
DTYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "uint16",
          "uint32", "uint64"]


def counting(*shape, dtype=torch.float32):
    return torch.arange(torch.Size(shape).numel()).to(dtype).reshape(shape)


def every_view():
    """An OrderedDict with _metadata, as state_dict() gives it."""
    shared = counting(4, 6)
    state = collections.OrderedDict()
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    for name in DTYPES:
        state[name] = counting(2, 3, dtype=getattr(torch, name))
    state["whole"] = shared
    state["tied"] = shared
    state["transposed"] = shared.t()
    state["row"] = shared[2]
    state["column"] = shared[:, 1]
    state["steps"] = shared[::2, 1::2]
    state["permuted"] = counting(2, 3, 4).permute(2, 0, 1)
    state["scalar"] = torch.tensor(2.5)
    state["empty"] = torch.zeros(0, 4)
    state["one_high"] = shared[1:2]
    state["parameter"] = torch.nn.Parameter(counting(3))
    marked = torch.nn.Parameter(counting(2, 2))
    marked.tensor_model_parallel = True
    state["marked"] = marked
    return state


def training_checkpoint():
    return {
        "epoch": 3, "loss": 0.5, "best": None, "done": False, "name": "run", "seed": 2**70, "raw": b"bytes",
        "size": torch.Size([2, 3]), "device": torch.device("cpu"), "dtype": torch.bfloat16,
        "module": {"weight": counting(2, 2), "layers": [counting(1), (counting(2),)]},
        "optimizer": {"state": {0: {"exp_avg": counting(2, 2)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
    }


class Anything:
    pass


def main():
    HERE.mkdir(parents=True, exist_ok=True)
    torch.save(every_view(), HERE / "views.bin")
    torch.save(every_view(), HERE / "views_legacy.bin", _use_new_zipfile_serialization=False)
    for protocol in (2, 3, 4, 5):
        torch.save(training_checkpoint(), HERE / f"checkpoint_protocol{protocol}.pt", pickle_protocol=protocol)
    torch.save({"a": torch.zeros(1).expand(5)}, HERE / "expanded.bin")
    torch.save({"a": Anything()}, HERE / "class.bin")
    torch.save({"a": torch.zeros(2, dtype=torch.complex64)}, HERE / "complex.bin")
    torch.save({"a": torch.eye(2).to_sparse()}, HERE / "sparse.bin")
    torch.save({"a": torch.zeros(2, dtype=torch.float8_e4m3fn)}, HERE / "float8.bin")
    torch.save(torch.zeros(2), HERE / "single.bin")
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(HERE / "script.pt"))
    sharded = HERE / "sharded"
    sharded.mkdir(exist_ok=True)
    torch.save({"a": counting(2, 2)}, sharded / "pytorch_model-00001-of-00002.bin")
    torch.save({"b": counting(3).to(torch.bfloat16), "unused": counting(1)}, sharded / "pytorch_model-00002-of-00002.bin")
    (sharded / "pytorch_model.bin.index.json").write_text(json.dumps({
        "metadata": {"total_size": 22},
        "weight_map": {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}}) + "\n")


if __name__ == "__main__":
    main()
