"""Files written by the reference library, which our reader must accept and our writer must reproduce byte for byte.

  $(benchmarks/peers/env.sh ds)/bin/python tests/formats/make_goldens.py      (made with safetensors 0.8.0, torch 2.11.0)
"""
import pathlib

import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent / "goldens"
DTYPES = {
    "f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "i64": torch.int64,
    "i32": torch.int32, "i16": torch.int16, "i8": torch.int8, "u8": torch.uint8, "bool": torch.bool,
    "u16": torch.uint16, "u32": torch.uint32, "u64": torch.uint64,
}


def main():
    HERE.mkdir(exist_ok=True)
    every = {name: torch.arange(6).to(dtype).reshape(2, 3) for name, dtype in DTYPES.items()}
    every |= {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4), 'odd "name" ü\n': torch.ones(1)}
    save_file(every, str(HERE / "every_dtype.safetensors"), metadata={"format": "pt"})
    save_file({}, str(HERE / "no_tensors.safetensors"))


if __name__ == "__main__":
    main()
