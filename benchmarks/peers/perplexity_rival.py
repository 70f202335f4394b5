"""llama.cpp's perplexity (started by perplexity.py, under the environment that env.sh llama makes). One JSON line.

  FILE.gguf TEXT IDS.bin WINDOW WINDOWS THREADS     tokenizes TEXT into IDS.bin (32-bit ids), scores the second half of each window
"""
import array
import json
import math
import pathlib
import sys

import numpy as np
from llama_cpp import Llama

path, text, ids_path = sys.argv[1:4]
window, windows, threads = map(int, sys.argv[4:7])
model = Llama(model_path=path, n_ctx=window, n_batch=window, n_ubatch=window, n_threads=threads, n_threads_batch=threads, logits_all=True, verbose=False)
ids = model.tokenize(pathlib.Path(text).read_bytes(), add_bos=False)
with open(ids_path, "wb") as file:
    array.array("I", ids).tofile(file)
values = []
for i in range(min(windows or len(ids), len(ids) // window)):
    own = ids[i * window:(i + 1) * window]
    model.reset()
    model.eval([model.token_bos()] + own[1:])
    for at in range(window // 2, window - 1):
        logits = np.asarray(model.scores[at], dtype=np.float64)
        top = logits.max()
        values.append(top + math.log(np.exp(logits - top).sum()) - logits[own[at + 1]])
mean, n = float(np.mean(values)), len(values)
print(json.dumps(dict(perplexity=math.exp(mean), error=math.exp(mean) * float(np.std(values)) / math.sqrt(n), tokens=n)))
