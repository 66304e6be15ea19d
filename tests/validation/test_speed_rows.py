"""The published speeds: all are listed, each is read in one meaning, and none is beyond its card."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from published_kit.speed_rows import (
    HERE,
    expressible,
    multiplied,
    own_models,
    peak_flops,
    ran,
    rows,
    work_share,
)

from finefit.nouns.engine import DDP, FSDP1, FSDP2, DeepSpeed
from finefit.nouns.method import Full, LoRA, QLoRA
from finefit.world.gpus import machine_named

PUBLISHED = {
    "CANI": 5,
    "FITC": 57,
    "FMSA": 190,
    "FSQL": 14,
    "LIGR": 13,
    "LITG": 26,
    "MISC": 5,
    "PEFT": 54,
    "PRIM": 40,
    "QWEN": 24,
    "SWFT": 136,
    "TAO_": 15,
    "TITN": 11,
    "TUNE": 9,
}
"""Rows with a speed, by source."""

computed = pytest.mark.parametrize("row", expressible(), ids=lambda row: row.id)


def test_every_published_row_with_a_speed_is_listed_once() -> None:
    """None is left out, and none counts twice."""
    assert Counter(row.id.split("-")[0] for row in rows()) == PUBLISHED
    assert len({row.id for row in rows()}) == len(rows())


def test_the_table_of_the_recipes_is_what_the_rows_say() -> None:
    """RECIPES.md counts what there is."""
    text = (HERE / "RECIPES.md").read_text(encoding="utf-8").partition("\n# Speed\n")[2]
    told = {
        source: tuple(map(int, counts.split(" | ")))
        for source, counts in re.findall(r"^\| (\w{4}) \| (\d+ \| \d+ \| \d+) \|$", text, re.MULTILINE)
    }
    found = Counter((row.id.split("-")[0], row.fit) for row in rows())
    assert told == {source: tuple(found[source, fit] for fit in ("yes", "near", "no")) for source in PUBLISHED}


def test_each_reason_is_given() -> None:
    """What is not computed, or computed as something else, says why; what is stock has nothing to say."""
    for row in rows():
        assert row.fit in ("yes", "near", "no"), row.id
        assert bool(row.why_not) == (row.fit != "yes"), row.id
        assert row.kernels, row.id
        assert row.note, row.id


def test_what_is_stock_ran_no_other_kernels() -> None:
    """Compiled, float8 and GPTQ runs are never computed, and fused ones never called stock."""
    for row in rows():
        other = any(word in row.kernels for word in ("compile", "float8", "gptq", "megatron"))
        assert not (other and row.fit != "no"), row.id
        assert row.fit != "yes" or row.kernels == "hf_eager", row.id


def test_every_row_has_a_figure() -> None:
    """A row is here for its speed."""
    assert all(row.tokens_per_second or row.step_seconds for row in rows())


@computed
def test_tokens_a_second_and_seconds_a_step_are_one_figure(row) -> None:
    """Where both are known, a step's tokens are its seconds times the pace."""
    assert row.tokens_per_second
    assert row.tokens_of_a_step > 0
    assert row.tokens_per_row <= int(row.cells["max_length"])
    if row.step_seconds is not None:
        assert row.tokens_per_second * row.step_seconds == pytest.approx(row.tokens_of_a_step, rel=1e-4)


@computed
def test_every_computed_recipe_resolves(row) -> None:
    """Its model, its card, its method and its engine are known here."""
    told = ran(row)
    assert told.model.layers > 0
    assert told.machine.gpu is not None
    assert told.machine.count == int(row.cells["gpus"])
    assert isinstance(told.method, {"full": Full, "lora": LoRA, "qlora4": QLoRA}[row.cells["method"]])
    engines = {"none": type(None), "ddp": DDP, "fsdp1": FSDP1, "fsdp2": FSDP2, "zero2": DeepSpeed, "zero3": DeepSpeed}
    assert isinstance(told.engine, engines[row.cells["engine"]])


@computed
def test_no_row_is_faster_than_its_card(row) -> None:
    """The least that its tokens can be in FLOPs is below the most that the card does."""
    assert 0 < work_share(row) < 1


def test_the_least_work_is_what_arithmetic_says() -> None:
    """Mistral with LoRA and checkpoints: 2.5 passes of 2 FLOPs over the parameters without the embedding."""
    row = next(row for row in rows() if row.id == "FMSA-0279")
    assert row.cells["method"] == "lora"
    assert multiplied(row) == 7_241_732_096 - 32_000 * 4096
    assert peak_flops(machine_named("A100-80GB")) == 312e12
    assert work_share(row) == pytest.approx(5 * multiplied(row) * row.tokens_per_second / 312e12)


def test_equal_runs_took_equal_time() -> None:
    """Runs of one recipe on one card differ by a quarter at most: figures of one source mean one thing."""
    seen: dict[tuple[str, ...], list[float]] = {}
    for row in expressible():
        told = {key: value for key, value in row.cells.items() if not key.startswith(("measured", "speed_note"))}
        seen.setdefault(tuple(value for key, value in told.items() if key not in ("id", "source")), []).append(
            row.tokens_per_second or 0
        )
    assert any(len(paces) > 1 for paces in seen.values())
    assert all(max(paces) / min(paces) < 1.25 for paces in seen.values())


@pytest.mark.parametrize("file", sorted(path.name for path in (HERE / "models").iterdir()))
def test_own_configurations_build_with_the_parameters_of_their_source(file: str) -> None:
    """What is not bundled is as exact as what is."""
    from finefit.worker.build import empty_model, read_config
    from finefit.world.models import find_model

    orders = {
        "folder": None,
        "config": dict(find_model(str(Path(HERE) / "models" / file)).config),
        "dtype": "bfloat16",
        "attn_implementation": "eager",
        "quantization": None,
        "trust_remote_code": False,
    }
    model = empty_model(orders, read_config(orders))
    assert sum(parameter.numel() for parameter in model.parameters()) == own_models()[file]
