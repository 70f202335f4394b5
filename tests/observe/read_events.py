"""Reads TensorBoard event files with TensorBoard's own reader, which checks every record's checksums.

  VENV/bin/python tests/observe/read_events.py FOLDER [--expect GOLDEN/events.json]

Prints {tag: [[step, value], ...]}. With --expect exits 1 unless tags, steps and values equal the golden's but for the
values of timings. `./dev rivals` does that with all goldens.
"""
import argparse
import json
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in sorted(events.Tags()["scalars"])}


def without_timings(events):
    return {tag: [[step, None if "elapsed_time" in tag else value] for step, value in rows] for tag, rows in events.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--expect", type=pathlib.Path)
    options = parser.parse_args()
    events = read(options.folder)
    print(json.dumps(events, indent=1))
    if options.expect and without_timings(events) != without_timings(json.loads(options.expect.read_text())):
        sys.exit(f"{options.folder}: not the events of {options.expect}")


if __name__ == "__main__":
    main()
