"""Starts the ranks of a run, and reads what they found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from finefit.catalog.libraries import installed

from .runs import Run, orders_of, trainer_words

HERE = Path(__file__).parent.parent
PATHS = (str(HERE.parent / "src"), str(HERE))
LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "deepspeed", "bitsandbytes")
SECONDS = 300
"""No run takes a tenth of it on a quiet machine."""


def measured(run: Run) -> dict[str, Any]:
    """As stored.py has it. Raises `subprocess.TimeoutExpired` where nothing is known."""
    return {"stack": installed(LIBRARIES), **_measured(run)}


def _measured(run: Run) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="finefit-ranks-") as scratch:
        orders = Path(scratch, "orders.json")
        told = orders_of(run) | {"engine": {"name": run.engine, "trainer": trainer_words(run)}}
        orders.write_text(json.dumps(told))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(run.ranks)),
                *("-m", "ranks_kit.one_rank", str(orders), scratch),
            ],
            env=_environment(), capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        files = [Path(scratch, f"{rank}.json") for rank in range(run.ranks)]
        if done.returncode or not all(file.exists() for file in files):
            return {"failed": _error(done.stderr)}
        ranks = [json.loads(file.read_text()) for file in files]
        return {"buckets": ranks[0]["buckets"], "ranks": [_without_buckets(rank) for rank in ranks]}


def _without_buckets(rank: dict[str, Any]) -> dict[str, Any]:
    return {name: found for name, found in rank.items() if name != "buckets"}


def _environment() -> dict[str, str]:
    paths = os.pathsep.join([*PATHS, *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}


def _error(text: str) -> str:
    """The last line that names an error, without torchrun's own."""
    lines = [line.split("]:", 1)[-1].strip() for line in text.splitlines()]
    named = [line for line in lines if "Error" in line.split(":")[0] and "ChildFailed" not in line]
    return named[-1] if named else (lines[-1] if lines else "no word")
