"""What a rehearsal does not wait for as it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import finefit

ASKS = """
import functools, json, sys
plain = functools.lru_cache
from finefit.worker.bends.listed_once import models_are_listed_once
from finefit.worker.bends.uncompiled import nothing_is_compiled
if sys.argv[1] == "bent":
    nothing_is_compiled()
    models_are_listed_once()
assert functools.lru_cache is plain
import torch, transformers
from finefit.worker import rehearse
from transformers.utils.import_utils import create_import_structure_from_path as listed
@torch.compile
def twice(number):
    return 2 * number
@torch.compile(dynamic=False)
def thrice(number):
    return 3 * number
said = {
    "inductor": "torch._inductor.compile_fx" in sys.modules,
    "wrapped": hasattr(rehearse.Recorder.__torch_dispatch__, "__wrapped__"),
    "listed": listed.cache_info().misses,
    "names": sorted(dir(transformers)),
    "six": twice(3) if sys.argv[1] == "bent" else 6,
    "nine": thrice(3) if sys.argv[1] == "bent" else 9,
}
print(json.dumps(said))
"""


def said(how: str) -> dict[str, object]:
    """In a process of its own, as a worker is."""
    source = str(Path(finefit.__file__).parent.parent)
    places = {"PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")]), "HF_HUB_OFFLINE": "1"}
    words = [sys.executable, "-c", ASKS, how]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | places)
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_a_rehearsal_starts_without_a_compiler_and_lists_models_once() -> None:
    """And transformers gives the same names as ever."""
    bent, plain = said("bent"), said("plain")
    assert bent["names"] == plain["names"]
    assert plain["inductor"], "bitsandbytes compiles nothing any more: the bend may go"
    assert (bent["inductor"], bent["wrapped"]) == (False, False)
    assert (bent["six"], bent["nine"]) == (6, 9)
    assert int(str(bent["listed"])) < int(str(plain["listed"])), "transformers lists once by itself: the bend may go"
