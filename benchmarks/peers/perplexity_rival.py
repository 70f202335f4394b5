"""llama.cpp's perplexity (started by perplexity.py, under the environment that env.sh llama makes). One JSON line.

  FILE.gguf TEXT FOLDER WINDOW WINDOWS THREADS

Tokenizes TEXT and cuts it into windows, of which WINDOWS, evenly spread, are scored (second halves). Writes 32-bit ids to FOLDER:
all.bin, scored.bin, and rest.bin, the windows that are not.
"""
import array
import itertools
import json
import math
import pathlib
import sys

import numpy as np
from llama_cpp import Llama

path, text, folder = sys.argv[1:3] + [pathlib.Path(sys.argv[3])]
window, windows, threads = map(int, sys.argv[4:7])
model = Llama(model_path=path, n_ctx=window, n_batch=window, n_ubatch=window, n_threads=threads, n_threads_batch=threads, logits_all=True, verbose=False)
ids = model.tokenize(pathlib.Path(text).read_bytes(), add_bos=False)
cut = [ids[i * window:(i + 1) * window] for i in range(len(ids) // window)]
count = min(windows, len(cut))
places = {i * len(cut) // count for i in range(count)}
scored = [own for i, own in enumerate(cut) if i in places]
for name, parts in (("all", [ids]), ("scored", scored), ("rest", [own for i, own in enumerate(cut) if i not in places])):
    (folder / f"{name}.bin").write_bytes(array.array("I", itertools.chain.from_iterable(parts)).tobytes())
values = []
for own in scored:
    model.reset()
    model.eval([model.token_bos()] + own[1:])
    for at in range(window // 2, window - 1):
        logits = np.asarray(model.scores[at], dtype=np.float64)
        top = logits.max()
        values.append(top + math.log(np.exp(logits - top).sum()) - logits[own[at + 1]])
mean, n = float(np.mean(values)), len(values)
print(json.dumps(dict(perplexity=math.exp(mean), error=math.exp(mean) * float(np.std(values)) / math.sqrt(n), tokens=n)))
