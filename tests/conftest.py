"""Real recordings of a small model, as a GPU would tell them."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from finefit.lower.orders import base_orders, rehearsal_orders
from finefit.nouns.knobs import Knobs
from finefit.nouns.loop import Loop
from finefit.nouns.machine import Machine
from finefit.nouns.method import LoRA, Method, QLoRA
from finefit.nouns.model import Model
from finefit.nouns.recording import Recording
from finefit.run import worker
from finefit.world.gpus import machine_named
from finefit.world.models import find_model
from forked import Forker
from small import LLAMA

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
"""A law does not say how fast a machine is."""

CONFIG = LLAMA | {
    "vocab_size": 2048,
    "hidden_size": 512,
    "intermediate_size": 1024,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
}
METHODS: dict[str, Method] = {
    "lora": LoRA(),
    "qlora4": QLoRA(),
    "single": QLoRA(double_quant=False),
    "qlora8": QLoRA(8),
    "lora, twice": LoRA(),
    "dora": LoRA(use_dora=True),
    "dora, dropout": LoRA(dropout=0.1, use_dora=True),
    "lora, dropout": LoRA(dropout=0.1),
}
"""Of one micro-batch a step, or of two."""
LONGEST = 256
LENGTHS = {"lora": (LONGEST, 128), "lora, twice": (LONGEST, 192, 128, 96), "qlora4": (LONGEST, 192, 128, 96)}
"""Tokens of a row; of other methods the longest alone."""

FORKED = ("rehearse", "generation", "train", "generate", "data", "export")
"""What needs nothing that libraries read as they are imported."""

Rehearsed = Callable[[str, int], Recording]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="every case of the laws that are wide")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "wide(cases): so many of a law's cases, from all over, without --thorough")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--thorough"):
        return
    laws: dict[str, list[pytest.Item]] = {}
    for item in items:
        laws.setdefault(item.nodeid.split("[")[0], []).append(item)
    left = {item for law in laws.values() for item in _left_out(law)}
    config.hook.pytest_deselected(items=[item for item in items if item in left])
    items[:] = [item for item in items if item not in left]


def pytest_collection_finish() -> None:
    gc.freeze()  # what was imported stays; Trainer collects garbage before each training, and looked through all of it


def _left_out(law: list[pytest.Item]) -> list[pytest.Item]:
    """All but so many, evenly: the same ones in every run."""
    mark = law[0].get_closest_marker("wide")
    cases = len(law) if mark is None else min(mark.args[0], len(law))
    kept = {number * len(law) // cases for number in range(cases)}
    return [item for number, item in enumerate(law) if number not in kept]


@pytest.fixture(autouse=True, scope="session")
def nothing_measured_here() -> Iterator[None]:
    """What was measured of the machine that the tests run on changes none of them, nor is anything added to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FINEFIT_CALIBRATION", "off")
        yield


@pytest.fixture(scope="session")
def forker() -> Iterator[Forker]:
    """A process that forks workers."""
    made = Forker()
    yield made
    made.close()


@pytest.fixture(autouse=True, scope="session")
def workers_start_at_once(forker: Forker) -> Iterator[None]:
    """What this process asks is answered by forked workers, which the real command would start anew. Tests of the
    command line still start it."""
    usual, start = worker.COMMAND, worker._start

    def forked(*words: str, log: Any, environment: Mapping[str, str], speaks: bool = False) -> Any:
        if worker.COMMAND is usual and words[0] in FORKED and not speaks:
            return forker.start(*words, log=Path(log.name), environment=dict(environment))
        return start(*words, log=log, environment=environment, speaks=speaks)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "_start", forked)
        yield


@pytest.fixture(scope="session")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    """The recording of a method at a length. A method is rehearsed once, whatever process of the tests asks first."""
    own = tmp_path_factory.getbasetemp()
    folder = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    path = tmp_path_factory.mktemp("small") / "config.json"
    path.write_text(json.dumps(CONFIG))
    model, machine = find_model(str(path)), machine_named("A100-80GB")

    @cache
    def told(method: str) -> dict[str, Any]:
        kept = folder / f"recordings of {method}.json"
        with FileLock(f"{kept}.lock"):
            if not kept.exists():
                kept.write_text(json.dumps(_recordings(method, model, machine)))
        answer: dict[str, Any] = json.loads(kept.read_text())
        return answer

    return cache(lambda method, length: Recording.from_json(told(method)[str(length)]))


def _recordings(method: str, model: Model, machine: Machine) -> dict[int, Any]:
    """By length."""
    knobs = Knobs(max_length=LONGEST, gradient_accumulation_steps=2 if "twice" in method else 1)
    orders = base_orders(model, METHODS[method], knobs, machine, False)
    orders = rehearsal_orders(orders, model, knobs, machine, Loop(), whole=True)
    rank = (orders["peft"] or {"r": 0})["r"]
    lengths = LENGTHS.get(method, (LONGEST,))
    takes = [[None, knobs.per_device_train_batch_size, length, rank] for length in lengths]
    answer = worker.ask("rehearse", orders | {"rehearsal": orders["rehearsal"] | {"layers": [], "takes": takes}})
    return dict(zip(lengths, answer["takes"], strict=True))
