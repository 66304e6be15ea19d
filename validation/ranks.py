"""Measures real training on several ranks of this processor, for what is composed of one rank to be held against.

    python validation/ranks.py [WORDS ...] [--again] [--compose]

Runs whose names contain one of the words, or all; what is measured already is not measured again. Each run is a fresh
torchrun of TRL's trainer under DDP, DeepSpeed or FSDP2 over gloo, two optimizer steps of a tiny model, and takes some
20 seconds. Results: ranks.json. Then all that ran is composed anew, in ranks_kit/composed.json, of which the page
docs/accuracy.md is made; `--compose` does that alone. README.md beside this file says how to install DeepSpeed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

# finefit of this clone, whether it is installed or not
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "src")]


def main() -> None:
    from ranks_kit.grid import all_runs
    from ranks_kit.start import measured
    from ranks_kit.stored import compose_again, read, write

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("words", nargs="*", help="parts of runs' names")
    parser.add_argument("--again", action="store_true", help="measure what is measured already")
    parser.add_argument("--compose", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    known = read()
    for run in () if arguments.compose else all_runs():
        if arguments.words and not any(word in run.id for word in arguments.words):
            continue
        if run.id not in known or arguments.again:
            try:
                known[run.id] = measured(run)
            except subprocess.TimeoutExpired:
                print(f"{run.id}: not done in time, left for the next time", flush=True)
                continue
            write(known)
            print(f"{run.id}: {known[run.id].get('failed', 'measured')}", flush=True)
    compose_again()


if __name__ == "__main__":
    main()
