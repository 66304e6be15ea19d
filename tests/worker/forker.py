"""Starts workers by forking, so that a test pays for importing torch once.

Reads lines `start VERB WORDS…` (answers the process id) and `wait PID` (answers the exit code as `Popen` gives it).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

import finefit.worker.generate
import finefit.worker.train
from finefit.worker.__main__ import main

assert finefit.worker.generate
assert finefit.worker.train


def start(words: list[str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    log = os.open(Path(words[1]).with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for standard in (0, 1, 2):
        os.dup2(log, standard)
    os._exit(main(words))


def wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


for line in sys.stdin:
    verb, *rest = line.split()
    print(start(rest) if verb == "start" else wait(int(rest[0])), flush=True)
