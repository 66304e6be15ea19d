"""Where an answer's recording comes from: the cache, the worker."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finefit.nouns.knobs import Knobs
from finefit.nouns.method import Full
from finefit.nouns.task import Generate
from finefit.rehearsal.generation import Writing, find
from finefit.run import worker
from finefit.tape.expand import storages_and_events
from finefit.world.gpus import machine_named
from finefit.world.models import find_model
from small import LLAMA

MISTRAL = LLAMA | {"model_type": "mistral", "sliding_window": 120}


def writing(folder: Path, config: dict[str, Any], prompt: int, new: int, rows: int = 2, beams: int = 1) -> Writing:
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    knobs = Knobs(max_length=prompt, per_device_train_batch_size=rows)
    task = Generate(max_new_tokens=new, num_beams=beams)
    return Writing(find_model(str(path)), Full(), knobs, machine_named("A100-80GB"), task)


def silent(_: str) -> None:
    pass


def no_worker(verb: str, orders: Any) -> Any:
    raise AssertionError("the worker was asked")


@pytest.mark.wide(1)
@pytest.mark.parametrize(("config", "beams"), [(LLAMA, 1), (LLAMA, 3), (MISTRAL, 1)], ids=["", "beams", "window"])
def test_one_rehearsal_answers_another_length_and_more_tokens(
    config: dict[str, Any], beams: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was rehearsed for one prompt and answer is replayed for others of as many rows, and is to the byte what a
    rehearsal of those says; beyond a window, of beams and of more rows the worker is asked."""
    wanted = [writing(tmp_path, config, prompt, new, beams=beams) for prompt, new in ((101, 40), (64, 33), (101, 150))]
    monkeypatch.setenv("FINEFIT_CACHE", str(tmp_path / "direct"))
    direct = find(wanted[-1], silent)
    monkeypatch.setenv("FINEFIT_CACHE", str(tmp_path / "grown"))
    for each in wanted[:-1]:
        find(each, silent)
    if beams == 1 and config is LLAMA:
        monkeypatch.setattr(worker, "ask", no_worker)
    replayed = find(wanted[-1], silent)
    assert storages_and_events(replayed.recording) == storages_and_events(direct.recording)
    monkeypatch.setattr(worker, "ask", no_worker)
    with pytest.raises(AssertionError, match="asked"):
        find(replace(wanted[0], knobs=replace(wanted[0].knobs, per_device_train_batch_size=5)), silent)
