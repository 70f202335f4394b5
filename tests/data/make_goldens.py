"""Megatron indexed datasets of several types, which our reader must read as they are.

  python3 tests/data/make_goldens.py        (numpy only; layout of Megatron-LM's megatron/core/datasets/indexed_dataset.py)
  ... --check reads those with deepspeed 0.19.8's own reader, which knows other type codes than Megatron beyond 5

goldens/NAME.bin and .idx:
  u16        three documents of one sequence each, numpy uint16 (code 8), as preprocess_data.py --append-eod writes them
  i32        two documents of 2 and 1 sequences, int32 (code 4); an empty sequence between them
  deepspeed_u16  the tokens of u16 as DeepSpeed's writer marks them: uint16 is code 6, marks hold only 0
  scattered  int64 (code 5), sequences that lie in the .bin in another order and with a gap, no document marks but 0
"""
import pathlib
import struct
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent / "goldens"
CODES = {"uint8": 1, "int8": 2, "int16": 3, "int32": 4, "int64": 5, "uint16": 8}


def write_index(name, code, lengths, offsets, marks):
    with open(HERE / f"{name}.idx", "wb") as out:
        out.write(b"MMIDIDX\x00\x00")
        out.write(struct.pack("<Q", 1))
        out.write(struct.pack("<B", code))
        out.write(struct.pack("<Q", len(lengths)))
        out.write(struct.pack("<Q", len(marks)))
        out.write(np.array(lengths, dtype=np.int32).tobytes(order="C"))
        out.write(np.array(offsets, dtype=np.int64).tobytes(order="C"))
        out.write(np.array(marks, dtype=np.int64).tobytes(order="C"))


def write(name, dtype, sequences, marks, code=None):
    arrays = [np.array(s, dtype=dtype) for s in sequences]
    (HERE / f"{name}.bin").write_bytes(b"".join(a.tobytes(order="C") for a in arrays))
    offsets = np.cumsum([0] + [a.nbytes for a in arrays])[:-1]
    write_index(name, code or CODES[dtype], [len(a) for a in arrays], offsets, marks)


def check():
    from deepspeed.runtime.data_pipeline.data_sampling.indexed_dataset import MMapIndexedDataset
    for name in ("i32", "scattered", "deepspeed_u16"):
        data = MMapIndexedDataset(str(HERE / name), skip_warmup=True)
        print(name, data.doc_idx.tolist(), [data[i].tolist() for i in range(len(data))])


def main():
    HERE.mkdir(exist_ok=True)
    eod = 256
    three = [[1, 2, 3, 4, eod], [5, 6, eod], [7, 8, 9, 10, 11, 12, eod]]
    write("u16", "uint16", three, [0, 1, 2, 3])
    write("deepspeed_u16", "uint16", three, [0], code=6)
    write("i32", "int32", [[1, 2, 3], [4, 5], [], [70000, 7, 8, 9]], [0, 2, 4])
    stored = np.array([30, 31, 32, 999, 10, 11, 20], dtype=np.int64)
    (HERE / "scattered.bin").write_bytes(stored.tobytes(order="C"))
    write_index("scattered", CODES["int64"], [2, 1, 3], [4 * 8, 6 * 8, 0], [0])


if __name__ == "__main__":
    check() if "--check" in sys.argv else main()
