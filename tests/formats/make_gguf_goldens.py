"""GGUF files that the gguf package wrote, and what it makes of quantized blocks, which formats::GgufFile and
formats::decode_blocks must read to the bit.

  $(benchmarks/peers/env.sh ds)/bin/python tests/formats/make_gguf_goldens.py      (made with gguf 0.19.0, numpy 2.4.6)

every.gguf      metadata of every type; of each tensor type TYPE a tensor "TYPE" and its floats, "TYPE.floats"
parts-*.gguf    three files of one model
checksums.txt   per quantized type the CRC-32 of the floats of 8,192 blocks with scales of every exponent; their other bytes
                are those of `scrambled`, and every NaN counts as 0x7fc00000
"""
import pathlib
import zlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

HERE = pathlib.Path(__file__).resolve().parent / "goldens" / "gguf"
# Where a block has its 16-bit scales.
SCALES = {Type.Q4_0: [0], Type.Q5_0: [0], Type.Q8_0: [0], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208]}


def scrambled(count):
    value = np.arange(count, dtype=np.uint32) * np.uint32(2654435761)
    value ^= value >> np.uint32(15)
    return ((value * np.uint32(2246822519)) >> np.uint32(24)).astype(np.uint8)


def blocks(kind, count):
    """`count` blocks; the first scale of block i has the bits 8 * i + i % 8, the second one others."""
    size = gguf.GGML_QUANT_SIZES[kind][1]
    data = scrambled(count * size).reshape(count, size)
    for place, at in enumerate(SCALES[kind]):
        i = np.arange(count, dtype=np.uint32)
        scale = (i * 8 + i % 8 if place == 0 else i * 40503 + 12345).astype("<u2")
        data[:, at:at + 2] = scale.view(np.uint8).reshape(count, 2)
    return data


def plain_scales(data, kind):
    """The same blocks with scales of the size that weights have."""
    data = data.copy()
    for at in SCALES[kind]:
        scale = np.linspace(0.001, 0.02, len(data)).astype("<f2")
        data[:, at:at + 2] = scale.view(np.uint8).reshape(len(data), 2)
    return data


def floats(data, kind):
    with np.errstate(all="ignore"):
        return gguf.dequantize(data, kind)


def write_every():
    writer = gguf.GGUFWriter(HERE / "every.gguf", "llama")
    writer.add_uint8("u8", 255)
    writer.add_int8("i8", -128)
    writer.add_uint16("u16", 65535)
    writer.add_int16("i16", -32768)
    writer.add_uint32("u32", 2**32 - 1)
    writer.add_int32("i32", -2**31)
    writer.add_float32("f32", 0.5)
    writer.add_bool("true", True)
    writer.add_bool("false", False)
    writer.add_string("text", "snow \u2603\nand more")
    writer.add_uint64("u64", 2**63)
    writer.add_int64("i64", -2**63)
    writer.add_float64("f64", 1e300)
    writer.add_array("texts", ["a", "", "\u00fc"])
    writer.add_array("integers", [1, -2, 3])
    writer.add_array("floats", [0.5, -1.5])
    writer.add_array("booleans", [True, False])
    writer.add_array("bytes", b"\x01\x02")
    writer.add_array("nested", [[1, 2], [3]])
    values = np.arange(12, dtype=np.float32).reshape(3, 4) / 4 - 1
    writer.add_tensor("F32", values)
    writer.add_tensor("F16", values.astype(np.float16))
    writer.add_tensor("F64", values.astype(np.float64))
    writer.add_tensor("I32", np.arange(6, dtype=np.int32))
    bf16 = gguf.quantize(values, Type.BF16)
    writer.add_tensor("BF16", bf16.view(np.uint8), raw_dtype=Type.BF16)
    writer.add_tensor("cube", np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    for kind in SCALES:
        per_row = 512 // gguf.GGML_QUANT_SIZES[kind][0]
        data = plain_scales(blocks(kind, 2 * per_row), kind).reshape(2, -1)
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        writer.add_tensor(kind.name + ".floats", floats(data, kind))
    write(writer)


def write_parts():
    writer = gguf.GGUFWriter(HERE / "parts.gguf", "llama", split_max_tensors=2)
    for i in range(5):
        writer.add_tensor(f"tensor{i}", np.full((2, 2), i, dtype=np.float32))
    write(writer)


def write(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_checksums():
    lines = []
    for kind in SCALES:
        values = floats(blocks(kind, 8192), kind).astype("<f4")
        bits = values.view("<u4").copy()
        bits[np.isnan(values)] = 0x7FC00000
        lines.append(f"{kind.name} {zlib.crc32(bits.tobytes()):08x}\n")
    (HERE / "checksums.txt").write_text("".join(lines))


def main():
    HERE.mkdir(parents=True, exist_ok=True)
    write_every()
    write_parts()
    write_checksums()


if __name__ == "__main__":
    main()
