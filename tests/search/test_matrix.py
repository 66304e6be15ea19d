"""Laws of the matrix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from finefit.api import matrix, plan
from finefit.catalog.gpus import gpu_named
from finefit.nouns.job import Job, MethodName
from finefit.nouns.matrix import Matrix, Row
from finefit.search.between import on_line
from finefit.search.tiers import BOUNDS, legend
from finefit.units import GIB

MODEL = "llama-3.1-8b"
CARDS = ("RTX4090", "A100-80GB", "RTX3060", "L4")
RANKS = {"no": 0, "tight": 1, "fits": 2}


@pytest.fixture(scope="module")
def made() -> Matrix:
    return matrix(Job(model=MODEL, data=""), gpus=[gpu_named(name) for name in CARDS], counts=(1, 2, 4))


def _judged(row: Row) -> int:
    assert row.verdict is not None
    return RANKS[row.verdict]


def _speed(row: Row) -> float:
    return 0.0 if row.answer is None else row.answer.tokens_per_second


@pytest.mark.parametrize("count", [1, 2])
def test_more_memory_is_never_worse(count: int) -> None:
    """Of one chip with more and more memory, no verdict is worse and no step slower."""
    chip = gpu_named("A100-80GB")
    cards = [replace(chip, vram_bytes=int(gib * GIB)) for gib in (6, 8, 9, 10, 12, 14, 16, 20, 24, 32, 40, 64, 96, 140)]
    made = matrix(Job(model=MODEL, data=""), gpus=cards, counts=(count,), methods=("full", "lora"))
    for name in ("full", "lora"):
        rows = [row for row in made.rows if row.method == name]
        assert list(map(_judged, rows)) == sorted(map(_judged, rows)), name
        assert list(map(_speed, rows)) == sorted(map(_speed, rows)), name
        assert _judged(rows[0]) < _judged(rows[-1]), name


def test_more_gpus_never_make_fits_into_no(made: Matrix) -> None:
    """However many more there are."""
    for row in made.rows:
        more = [one for one in made.rows if (one.gpu, one.method) == (row.gpu, row.method) and one.count > row.count]
        assert row.verdict != "fits" or all(one.verdict != "no" for one in more), row.name


@pytest.mark.wide(1)
@pytest.mark.parametrize(
    ("gpu", "count", "method"), [("RTX4090", 1, "qlora4"), ("A100-80GB", 1, "lora"), ("A100-80GB", 4, "full")]
)
def test_a_row_is_near_what_a_plan_finds(made: Matrix, gpu: str, count: int, method: MethodName) -> None:
    """Which asks the allocator: tokens per second within a tenth, and the most that the device may show within what the
    row says that it may be off by."""
    asked = f"{count}x{gpu}" if count > 1 else gpu
    planned = plan(Job(model=MODEL, data="", gpu=asked, method=method))
    row = next(row for row in made.rows if (row.gpu, row.count, row.method) == (gpu_named(gpu).name, count, method))
    assert planned.choice is not None
    assert planned.choice.pace is not None
    assert row.answer is not None
    assert row.answer.tokens_per_second == pytest.approx(planned.choice.pace.tokens_per_second, rel=0.10)
    device = planned.choice.ledger.device
    assert device is not None
    per_byte = device.high / planned.choice.ledger.peak_bytes
    assert row.answer.high_bytes / row.answer.peak_bytes == pytest.approx(per_byte, rel=row.answer.off + 0.02)


def test_hours_times_price_is_cost(made: Matrix) -> None:
    """And hours are steps times their seconds."""
    priced = [row for row in made.rows if row.cost is not None]
    assert priced
    for row in priced:
        assert row.answer is not None
        assert row.offer is not None
        assert row.hours is not None
        steps = -(-made.wanted.tokens // row.answer.tokens_per_step)
        assert row.hours == pytest.approx(steps * row.answer.step_seconds / 3600)
        assert row.cost == pytest.approx(row.hours * row.offer.usd_per_hour)
        assert (row.offer.gpu, row.offer.count) == (row.gpu, row.count)


def test_twice_the_rows_take_twice_the_hours(made: Matrix) -> None:
    """Which tokens say as well."""
    cards = [gpu_named("A100-80GB")]
    doubled = [
        matrix(Job(model=MODEL, data=""), gpus=cards, counts=(1,), methods=("lora",), **how)  # type: ignore[arg-type]
        for how in ({"rows": 20_000}, {"epochs": 2.0}, {"tokens": 20_000 * 2048})
    ]
    once = next(row for row in made.rows if (row.gpu, row.count, row.method) == (cards[0].name, 1, "lora"))
    for other in doubled:
        assert once.hours is not None
        assert other.rows[0].hours == pytest.approx(2 * once.hours, rel=0.001)


def test_a_tier_is_what_the_legend_says(made: Matrix) -> None:
    """The first of which every number holds."""
    for row in made.rows:
        alike = [one for one in made.rows if one.method == row.method and one.verdict == "fits"]
        fastest = min(one.hours for one in alike if one.count == row.count and one.hours)
        cheapest = min(one.cost for one in alike if one.cost)
        holds = []
        for bounds in BOUNDS:
            if row.answer is None or row.hours is None or row.headroom is None:
                continue
            is_easy = row.verdict == "fits" and not row.answer.is_offloaded
            roomy = row.headroom >= bounds.headroom or row.verdict == "tight"
            cheap = not bounds.needs_price if row.cost is None else row.cost <= bounds.dearer * cheapest
            if (is_easy or bounds.offloads) and roomy and cheap and row.hours <= bounds.slower * fastest:
                holds.append(bounds.tier)
        expected = holds[0] if holds else "not recommended"
        assert row.tier == (None if row.verdict is None else expected), row.name
    for bounds, line in zip(BOUNDS, legend(), strict=False):
        assert line.startswith(bounds.tier)
        assert f"{bounds.slower:g} times" in line
        assert f"{bounds.dearer:g} times" in line


def test_what_no_tape_knows_is_said_to_be_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Never guessed, and never rehearsed unasked."""
    monkeypatch.setenv("FINEFIT_CACHE", str(tmp_path))
    row = matrix(Job(model=MODEL, data="", max_length=2000), gpus=[gpu_named("V100-16GB")], counts=(1,)).rows[0]
    assert (row.verdict, row.tier, row.answer, row.hours, row.cost) == (None, None, None, None, None)
    assert "--rehearse" in row.why


def test_more_gpus_than_sequences_of_a_step_are_no_answer() -> None:
    """No GPU is left idle."""
    made = matrix(Job(model=MODEL, data="", global_batch_size=2), gpus=[gpu_named("RTX4090")], counts=(4,))
    assert {row.verdict for row in made.rows} == {"no"}
    assert all("more GPUs than sequences" in row.why for row in made.rows)


def test_a_line_goes_through_what_is_known() -> None:
    """At both, between and beyond; what differs in more than numbers has none."""
    first, second = Row("a", 1, "lora", 10, None, None), Row("a", 3, "lora", 30, None, None)
    assert on_line(first, second, 0) == first
    assert on_line(first, second, 1) == second
    assert on_line(first, second, 2) == Row("a", 5, "lora", 50, None, None)
    assert on_line({"x": (1.0, 2)}, {"x": (2.0, 2)}, -1) == {"x": (0.0, 2)}
    assert on_line(first, replace(second, gpu="b"), 0.5) is None
    assert on_line({"x": 1}, {"y": 1}, 0.5) is None
    assert on_line((1, 2), (1, 2, 3), 0.5) is None
