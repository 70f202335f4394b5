#!/usr/bin/env python3
"""DeepSpeed's ZeRO-Inference on a CPU: stage 3 with offload_param on NVMe, as its examples start it (benchmarks/zero_inference/run.py --rival).

  zero_inference_rival.py FOLDER NVME PROMPT_TOKENS NEW_TOKENS

Prints one line of JSON: the tokens of the same prompt as zero_inference_bench's, loading and tokens a second after the first.
"""
import json
import os
import sys
import time

os.environ |= {"DS_ACCELERATOR": "cpu", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1",
               "MASTER_PORT": str(20000 + os.getpid() % 20000)}

import deepspeed  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from transformers.integrations import HfDeepSpeedConfig  # noqa: E402


class Clock(transformers.StoppingCriteria):
    def __init__(self):
        self.times = []

    def __call__(self, ids, scores, **_):
        self.times.append(time.perf_counter())
        return torch.zeros(ids.shape[0], dtype=torch.bool)


def main():
    folder, nvme, length, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    begin = time.perf_counter()
    shape = transformers.AutoConfig.from_pretrained(folder)
    largest = shape.vocab_size * shape.hidden_size
    config = {"train_micro_batch_size_per_gpu": 1, "bf16": {"enabled": True}, "steps_per_print": 100000,
              "zero_optimization": {"stage": 3, "stage3_prefetch_bucket_size": 2 * largest, "stage3_param_persistence_threshold": shape.hidden_size,
                                    "stage3_max_live_parameters": 2 * largest,
                                    "offload_param": {"device": "nvme", "nvme_path": nvme, "pin_memory": True, "buffer_count": 5,
                                                      "buffer_size": largest, "max_in_cpu": 0}},
              "aio": {"block_size": 1 << 20, "queue_depth": 8, "intra_op_parallelism": 1, "single_submit": False, "overlap_events": True}}
    deepspeed.init_distributed("gloo")
    keep = HfDeepSpeedConfig(config)  # from_pretrained asks whether one is alive
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    engine = deepspeed.initialize(model=model, config=config)[0]
    engine.module.eval()
    loaded = time.perf_counter()
    ids = torch.tensor([[(t * 7919 + 13) % shape.vocab_size for t in range(length)]])
    clock = Clock()
    with torch.no_grad():
        out = engine.module.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, min_new_tokens=count, do_sample=False,
                                     stopping_criteria=transformers.StoppingCriteriaList([clock]))
    times = clock.times
    print(json.dumps({"tokens": [out[0, length:].tolist()], "load_s": loaded - begin, "decode_s": times[-1] - times[0],
                      "decode_tokens_per_s": (len(times) - 1) / (times[-1] - times[0])}))
    del keep


if __name__ == "__main__":
    main()
