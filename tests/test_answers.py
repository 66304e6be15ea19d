"""What answers cost, as a user asks."""

from __future__ import annotations

import json
import re
from math import prod
from pathlib import Path
from typing import Any

import pytest

from finefit import api
from finefit.nouns.estimate import Estimate
from finefit.nouns.knobs import Knobs
from finefit.nouns.method import Full, LoRA, Method
from finefit.nouns.task import Generate
from finefit.show.json import of_estimate
from small import LLAMA

pytestmark = pytest.mark.xdist_group("answers")

CONFIG = LLAMA | {"num_hidden_layers": 8, "max_position_embeddings": 4096}
LORA = LoRA()
ASKED: dict[str, dict[str, Any]] = {
    "short": {},
    "base": {"base": True},
    "full": {"method": Full()},
    "longer prompt": {"prompt": 300},
    "more tokens": {"new": 900},
    "more rows": {"rows": 6, "new": 900},
    "8 bits": {"new": 900, "cache": "fp8"},
    "beams": {"num_beams": 3},
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Estimate]:
    """Of a small model."""
    folder = tmp_path_factory.mktemp("writing")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    patch = pytest.MonkeyPatch()
    patch.setenv("FINEFIT_CACHE", str(folder / "cache"))
    try:
        return {name: answer(folder, **words) for name, words in ASKED.items()}
    finally:
        patch.undo()


def answer(
    folder: Path, prompt: int = 100, rows: int = 2, new: int = 40, method: Method = LORA, **words: Any
) -> Estimate:
    knobs = Knobs(max_length=prompt, per_device_train_batch_size=rows, gradient_checkpointing=0, mixed_precision="no")
    return api.estimate_answer(str(folder), method=method, task=Generate(new, **words), knobs=knobs, gpu="RTX4090")


@pytest.mark.parametrize("name", ASKED)
def test_the_lines_are_the_peak(answers: dict[str, Estimate], name: str) -> None:
    """Each has a reason, and nothing is trained."""
    ledger = answers[name].ledger
    assert sum(line.nbytes for line in ledger.lines) == ledger.peak_bytes
    assert all(line.why for line in ledger.lines)
    assert ledger.peak_phase in ("prefill", "decode")
    assert not {"gradients", "optimizer state"} & {line.what for line in ledger.lines}
    assert ledger.reserved is not None
    assert ledger.reserved.low >= ledger.peak_bytes


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("short", "longer prompt"),
        ("short", "more tokens"),
        ("more tokens", "more rows"),
        ("8 bits", "more tokens"),
        ("base", "short"),
        ("short", "beams"),
    ],
)
def test_more_costs_more(answers: dict[str, Estimate], less: str, more: str) -> None:
    """Longer prompts and answers, more of them, adapters, beams; a cache in 8 bits costs less."""
    assert answers[less].ledger.peak_bytes < answers[more].ledger.peak_bytes


def test_full_weights_have_no_adapters(answers: dict[str, Estimate]) -> None:
    """A model that was trained whole writes like one whose adapters are left out."""
    assert answers["full"].ledger.peak_bytes == answers["base"].ledger.peak_bytes


@pytest.mark.parametrize("name", ["more tokens", "more rows"])
def test_the_caches_arithmetic_is_its_bytes(answers: dict[str, Estimate], name: str) -> None:
    """What is said of keys and values, multiplied, is the line's bytes at a peak where no layer's cache grows."""
    line = next(line for line in answers[name].ledger.lines if line.what == "KV cache")
    product, _, again = line.why.partition(";")
    numbers = [int(number.replace(",", "")) for number in re.findall(r"[\d,]+", product)]
    assert prod(numbers) <= line.nbytes <= prod(numbers) * (1 + 1 / CONFIG["num_hidden_layers"])  # type: ignore[operator]
    assert (prod(numbers) < line.nbytes) == ("before it grew" in again)


def test_json_says_what_is_written(answers: dict[str, Estimate]) -> None:
    """The task, and its own keys."""
    said = of_estimate(answers["beams"])
    assert said["recipe"]["task"] == "generate"
    assert said["recipe"]["num_beams"] == 3
