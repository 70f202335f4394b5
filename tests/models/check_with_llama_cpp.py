"""llama.cpp's own logits of the tiny GGUF files, beside transformers' of the models that they were written from: so a mistake of
make_weight_files.py is not taken for the format where transformers cannot read the file.

  $(benchmarks/peers/env.sh llama)/bin/python tests/models/check_with_llama_cpp.py

Where a file does not say how wide its windows are (mistral, mixtral, qwen2, phi3) only the positions within them are compared.
gptj has no code in llama.cpp; gemma2 and gemma3 differ in what only config.json says; encoders are left out.
"""
import json
import pathlib
import sys
import tempfile

sys.path.pop(0)  # llama_cpp.py beside this file is another

import gguf
import numpy as np
from llama_cpp import Llama

ROOT = pathlib.Path(__file__).resolve().parents[1]
WINDOWS = {"mistral": 7, "mixtral": 9, "qwen2": 9, "phi3": 11}
NAMES = ["llama", "llama-linear", "llama-yarn", "llama3", "gemma", "phi-2", "gpt2", "gpt_neox", "bloom", "falcon-7b", "falcon-11b",
         "falcon-40b", "qwen3", "qwen2_moe-every", *WINDOWS]
YARN = dict(yarn_beta_fast=0.7, yarn_beta_slow=0.1)  # which the binding sets, whatever the file says
TOLERANCE = 5e-3  # of logits around 6: GELU is a table of fp16 there, the others agree to 1e-4


def tensors_of(path):
    data = path.read_bytes()
    header = int.from_bytes(data[:8], "little")
    types = {"F32": np.float32, "I64": np.int64}
    return {name: np.frombuffer(data[8 + header + info["data_offsets"][0]:8 + header + info["data_offsets"][1]],
                                types[info["dtype"]]).reshape(info["shape"])
            for name, info in json.loads(data[8:8 + header]).items() if info.get("dtype") in types}


def copy_without_vocabulary(path, out, vocabulary):
    """llama.cpp wants to be told that there is no tokenizer, and rounds activations where weights have 16 bits."""
    reader = gguf.GGUFReader(path)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(out, architecture)
    for key, field in reader.fields.items():
        if key.startswith(("GGUF.", "tokenizer.")) or key == "general.architecture":
            continue
        if field.types[0] == gguf.GGUFValueType.ARRAY:
            writer.add_array(key, field.contents())
        else:
            writer.add_key_value(key, field.contents(), field.types[0])
    writer.add_tokenizer_model("no_vocab")
    if f"{architecture}.vocab_size" not in reader.fields:
        writer.add_vocab_size(vocabulary)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def difference(name):
    golden = tensors_of(ROOT / "parity/goldens/logits" / f"{name}.safetensors")
    ids, wanted = golden["single.input_ids"][0], golden["single.logits"][0]
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "model.gguf"
        copy_without_vocabulary(ROOT / "models/goldens/gguf" / f"{name}.gguf", file, wanted.shape[-1])
        model = Llama(model_path=str(file), n_ctx=256, logits_all=True, n_threads=1, type_k=0, type_v=0, verbose=False,
                      **(YARN if name == "llama-yarn" else {}))
        model.eval(ids.tolist())
        seen = min(WINDOWS.get(name, len(ids)), len(ids))
        return np.abs(np.array(model.scores[:seen]) - wanted[:seen]).max(), seen


def main():
    failed = []
    for name in NAMES:
        largest, positions = difference(name)
        print(f"{name:<18}{largest:.2e} over {positions} positions", flush=True)
        if not largest < TOLERANCE:
            failed.append(name)
    sys.exit(f"not the same: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
