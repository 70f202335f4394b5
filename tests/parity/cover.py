"""The factors of the training goldens and a small set of runs in which every pair of their levels meets."""
import itertools
import random

FACTORS = {
    "arch": ["gpt2", "llama"],
    "stage": [0, 1, 2],
    "ranks": [2, 3],
    "accumulation": [1, 2, 3],
    "schedule": ["WarmupLR", "WarmupDecayLR", "WarmupCosineLR", "OneCycle", "LRRangeTest"],
    "precision": ["fp32", "bf16"],
}
MOST_RUNS = 24


def pairs_of(run):
    return {((a, run[a]), (b, run[b])) for a, b in itertools.combinations(FACTORS, 2)}


def all_pairs():
    return {((a, x), (b, y)) for a, b in itertools.combinations(FACTORS, 2) for x in FACTORS[a] for y in FACTORS[b]}


def _greedy(rng):
    every = [dict(zip(FACTORS, levels)) for levels in itertools.product(*FACTORS.values())]
    rng.shuffle(every)
    missing, runs = all_pairs(), []
    while missing:
        best = max(every, key=lambda run: len(pairs_of(run) & missing))
        runs.append(best)
        missing -= pairs_of(best)
    return runs


def covering_array(seed=0, tries=100):
    """The shortest of `tries` greedy covers: the same list on every machine."""
    rng = random.Random(seed)
    runs = min((_greedy(rng) for _ in range(tries)), key=len)
    runs.sort(key=lambda run: [FACTORS[f].index(run[f]) for f in FACTORS])
    assert len(runs) <= MOST_RUNS and set().union(*map(pairs_of, runs)) == all_pairs()
    return runs


if __name__ == "__main__":
    for number, run in enumerate(covering_array(), 1):
        print(number, *run.values())
