"""Where a recording comes from: the atlas, the cache, the worker."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache as cache_results
from pathlib import Path
from typing import Any

import pytest

from finefit.nouns.knobs import Checkpointing, Knobs
from finefit.nouns.method import LoRA
from finefit.rehearsal import cache
from finefit.rehearsal.build import Asked, Progress, _rehearsed, build
from finefit.rehearsal.find import find, rehearse
from finefit.rehearsal.recipe import Recipe
from finefit.run import worker
from finefit.tape.expand import storages_and_events
from finefit.tape.peaks import CUDA_BLOCK_BYTES, phase_peaks
from finefit.world.gpus import machine_named
from finefit.world.models import find_model
from small import LLAMA

pytestmark = pytest.mark.xdist_group("find")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    path = tmp_path_factory.mktemp("small") / "config.json"
    path.write_text(json.dumps(LLAMA))
    return Recipe(find_model(str(path)), LoRA(), Knobs(max_length=256), machine_named("A100-80GB"))


ASK, START = worker.ask, worker._start


@cache_results
def _asked(verb: str, orders: str) -> dict[str, Any]:
    return ASK(verb, json.loads(orders))


def ask(verb: str, orders: dict[str, Any], hear: Callable[..., None] | None = None) -> dict[str, Any]:
    return _asked(verb, json.dumps(orders)) if hear is None else ASK(verb, orders, hear)


@pytest.fixture
def emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of tapes; what the worker once answered in these tests, it answers at once."""
    monkeypatch.setenv("FINEFIT_CACHE", str(tmp_path))
    monkeypatch.setattr(worker, "ask", ask)
    return tmp_path


def no_worker(verb: str, orders: Any, hear: Any = None) -> Any:
    raise AssertionError("the worker was asked")


def silent(_: str) -> None:
    pass


def test_what_was_rehearsed_once_is_not_rehearsed_again(
    small: Recipe, emptied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time it comes from the cache: the same recording; another length still asks the worker."""
    first = find(small, silent)
    monkeypatch.setattr(worker, "ask", no_worker)
    again = find(small, silent)
    assert storages_and_events(again.recording) == storages_and_events(first.recording)
    assert again.source == first.source == "rehearsal"
    with pytest.raises(AssertionError, match="asked"):
        find(replace(small, knobs=replace(small.knobs, max_length=300)), silent)


def test_a_built_tape_answers_unseen_points_without_the_worker(
    small: Recipe, emptied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Built at its points, kept in the cache: another batch, length, rank and accumulation equal their rehearsal."""
    unseen = replace(
        small,
        method=LoRA(r=20),
        knobs=replace(small.knobs, max_length=777, per_device_train_batch_size=6, gradient_accumulation_steps=2),
    )
    direct = find(unseen, silent)
    said: list[str] = []
    built = build([small], say=said.append)[0]
    assert built.is_trusted
    assert re.match(r"rehearsing recipes that no tape knows: 1 of \d+, about .* left$", said[0])
    cache.write(small.key, built.tape)
    monkeypatch.setattr(worker, "ask", no_worker)
    replayed = find(unseen, silent)
    assert storages_and_events(replayed.recording) == storages_and_events(direct.recording)
    assert phase_peaks(replayed.recording, CUDA_BLOCK_BYTES) == phase_peaks(direct.recording, CUDA_BLOCK_BYTES)


def test_recipes_that_are_rehearsed_together_are_each_as_asked(tmp_path: Path) -> None:
    """Also where every layer is recorded: of a model of two, all of them recomputed and none."""
    (tmp_path / "config.json").write_text(json.dumps(LLAMA | {"num_hidden_layers": 2}))
    model, machine = find_model(str(tmp_path)), machine_named("A100-80GB")
    shapes: tuple[Checkpointing, ...] = ("all", 0)
    recipes = [Recipe(model, LoRA(), Knobs(max_length=64, gradient_checkpointing=each), machine) for each in shapes]
    assert not any(recipe.recorded for recipe in recipes)
    _, takes = _rehearsed([Asked(each, each.point, proves=False) for each in recipes], Progress("", silent))
    assert takes is not None
    events = []
    for recipe, take in zip(recipes, takes, strict=True):
        alone, _, _ = rehearse(recipe.orders, recipe.layers, silent)
        assert storages_and_events(take.few) == storages_and_events(alone)
        events.append(len(alone.events))
    assert events[0] > events[1]


def test_every_worker_allocates_in_the_same_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gemma 3 goes through a set of names, whose order is that of Python's hashes: here, of two seeds that differ."""
    gemma = {"model_type": "gemma3_text", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    gemma |= {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "vocab_size": 128}
    gemma |= {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 32}
    (tmp_path / "config.json").write_text(json.dumps(gemma))
    recipe = Recipe(find_model(str(tmp_path)), LoRA(), Knobs(max_length=64), machine_named("A100-80GB"))
    monkeypatch.setattr(worker, "_start", START)
    found = []
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        found.append(storages_and_events(rehearse(recipe.orders, recipe.layers, silent)[0]))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-30], lambda data: b"", lambda data: b"{}"], ids=["torn", "empty", "other"]
)
def test_a_spoiled_cache_is_as_if_it_were_not_there(
    small: Recipe, emptied: Path, spoil: Callable[[bytes], bytes]
) -> None:
    find(small, silent)
    (file,) = (emptied / "tapes").iterdir()
    file.write_bytes(spoil(file.read_bytes()))
    assert cache.read(small.key) is None


def test_a_cache_that_cannot_be_written_stops_nothing(
    small: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tapes").write_text("a file where the folder should be")
    monkeypatch.setenv("FINEFIT_CACHE", str(tmp_path))
    assert find(small, silent).recording.blocks == 7


def test_hoppers_libraries_take_more(small: Recipe, emptied: Path) -> None:
    """A tape of an Ampere card serves a Hopper: cuBLAS keeps 32 MiB a thread there."""
    ampere = find(small, silent).recording
    hopper = find(replace(small, machine=machine_named("H100-80GB")), silent).recording
    assert sum(hopper.nbytes) - sum(ampere.nbytes) == 2 * ((32 << 20) - 8_519_680)
