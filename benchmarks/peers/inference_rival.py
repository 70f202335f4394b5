"""One rival on one shape, once (started by inference.py, under the environment that env.sh ds or llama makes). One JSON line.

  openvino DIR f32|bf16 BATCH LENGTH THREADS      latency_ms of the last hidden state, median of 40 calls after 5; of a graph for
                                                  any shape, and (static_ms) of one for this shape alone
  hf-encoder DIR float32|bfloat16 BATCH LENGTH THREADS
  hf-decoder FILE.gguf bfloat16 PROMPT NEW THREADS     prefill of PROMPT tokens and decode of NEW after them, tokens/s;
                                                  first_token_s: from the start, loading included, to the token after 8
  llama FILE.gguf - PROMPT NEW THREADS
"""
import json
import pathlib
import sys
import time

kind, path, dtype, a, b, threads = sys.argv[1:7]
a, b, threads = int(a), int(b), int(threads)
BEGIN = time.perf_counter()


def median_ms(call, runs=40, warm=5):
    for _ in range(warm):
        call()
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return 1e3 * sorted(times)[runs // 2]


def openvino():
    import numpy as np
    import openvino as ov
    import torch
    from transformers import AutoModel

    class Hidden(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask):
            return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    example = torch.randint(1000, 20000, (1, 16))
    net = ov.convert_model(Hidden(AutoModel.from_pretrained(path, attn_implementation="eager").eval()),
                           example_input={"input_ids": example, "attention_mask": torch.ones_like(example)})
    ids = np.random.randint(1000, 20000, (a, b))

    def measure():
        run = ov.Core().compile_model(net, "CPU", {"INFERENCE_PRECISION_HINT": dtype, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"})
        return median_ms(lambda: run([ids, np.ones_like(ids)]))

    latency = measure()
    net.reshape({tensor: [a, b] for tensor in net.inputs})
    return dict(latency_ms=latency, static_ms=measure())


def hf_encoder():
    import torch
    from transformers import AutoModel

    torch.set_num_threads(threads)
    model = AutoModel.from_pretrained(path, dtype=getattr(torch, dtype)).eval()
    ids = torch.randint(1000, 20000, (a, b))
    with torch.inference_mode():
        return dict(latency_ms=median_ms(lambda: model(input_ids=ids, attention_mask=torch.ones_like(ids))))


def hf_decoder():
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    file = pathlib.Path(path)
    model = AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype=getattr(torch, dtype)).eval()
    ids = torch.tensor([[(i * 7919 + 13) % model.config.vocab_size for i in range(a)]])
    with torch.inference_mode():
        model.generate(ids[:, :8], max_new_tokens=1, do_sample=False)
        loaded = time.perf_counter() - BEGIN
        prefill = median_ms(lambda: model(ids, use_cache=True, logits_to_keep=1), 5, 1) / 1e3
        one = median_ms(lambda: model.generate(ids, max_new_tokens=1, min_new_tokens=1, do_sample=False), 3, 1) / 1e3
        many = median_ms(lambda: model.generate(ids, max_new_tokens=b, min_new_tokens=b, do_sample=False), 3, 1) / 1e3
    return dict(prefill=a / prefill, decode=(b - 1) / (many - one), first_token_s=loaded)


def llama():
    from llama_cpp import Llama

    model = Llama(model_path=path, n_ctx=a + b + 64, n_threads=threads, n_threads_batch=threads, n_batch=512, verbose=False)
    ids = [(i * 7919 + 13) % model.n_vocab() for i in range(a)]
    model.eval(ids[:8])
    loaded = time.perf_counter() - BEGIN

    def prefill():
        model.reset()
        model.eval(ids)

    taken = median_ms(prefill, 5, 1) / 1e3  # the prompt stays: tokens follow it

    def step():
        model.eval([17])

    decode = median_ms(step, b, 4) / 1e3
    return dict(prefill=a / taken, decode=1 / decode, first_token_s=loaded)


print(json.dumps({"openvino": openvino, "hf-encoder": hf_encoder, "hf-decoder": hf_decoder, "llama": llama}[kind]()))
