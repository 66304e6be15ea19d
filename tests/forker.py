"""Starts workers by forking, so that tests pay for importing torch once.

Reads lines of JSON: `{"words", "folder", "environment", "log"}` (answers the process id) and `{"ended": PID, "waits"}`
(answers the exit code as `Popen` gives it, or nothing while it runs).
"""

from __future__ import annotations

import gc
import json
import os
import sys
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

import finefit.worker.data
import finefit.worker.export.run
import finefit.worker.generate
import finefit.worker.generation
import finefit.worker.rehearse
import finefit.worker.train
from finefit.worker.__main__ import main

assert finefit.worker.data
assert finefit.worker.export.run
assert finefit.worker.generate
assert finefit.worker.generation
assert finefit.worker.rehearse
assert finefit.worker.train


gc.freeze()  # no child looks through what was imported


def start(words: list[str], folder: str, environment: dict[str, str], log: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    out, nothing = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), os.open(os.devnull, os.O_RDONLY)
    for standard, opened in enumerate((nothing, out, out)):
        os.dup2(opened, standard)
    os._exit(main(words))


def ended(pid: int, waits: bool) -> int | None:
    found, status = os.waitpid(pid, 0 if waits else os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def answer(told: dict[str, Any]) -> int | None:
    return ended(told["ended"], told["waits"]) if "ended" in told else start(**told)


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
