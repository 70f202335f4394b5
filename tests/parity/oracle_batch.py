"""Runs oracle_train.py several times within one set of ranks: starting DeepSpeed takes far longer than 50 tiny steps.

  deepspeed --num_accelerators W oracle_batch.py JOBS.json      a list of oracle_train.py argument lists
"""
import gc
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "benchmarks" / "peers"))
import oracle_train


def main():
    jobs = next(argument for argument in sys.argv[1:] if not argument.startswith("--"))
    for arguments in json.loads(pathlib.Path(jobs).read_text()):
        sys.argv = [sys.argv[0], *arguments]
        oracle_train.main()
        gc.collect()


if __name__ == "__main__":
    main()
