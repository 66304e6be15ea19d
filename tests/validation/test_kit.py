"""The proof kit without a card: which points, in what order, and what becomes of each."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from kit import run as running
from kit.compare import Gap
from kit.design import TIMES, all_points, everyday, grid, pairs_of, possible_pairs
from kit.order import ordered
from kit.points import LEVELS, NEW_TOKENS, PACKED_ROWS, SHORTER, Point, is_sensible, knobs_of, model_of, orders_of
from kit.receipts import read, receipt_of, store, write
from kit.roads import LIBRARIES, Here, why_not
from kit.run import Session, run
from kit.tiny import tiny_model

from finefit.nouns.machine import Gpu, Machine

CARD = Machine(Gpu("a card", 8 << 30, (8, 0)))
ALL = frozenset(LIBRARIES)
CHEAP = everyday()[0]
MEASURED = {"measured_by": "allocator", "phases": {"load": 9, "forward": 5, "backward": 7}, "stack": {}}


def test_every_pair_of_values_is_in_the_grid_often() -> None:
    """Of every two knobs, every two values that go together meet in at least `TIMES` points; none is twice in it."""
    met: dict[Any, int] = {}
    for point in grid():
        for pair in pairs_of(point):
            met[pair] = met.get(pair, 0) + 1
    assert all(met[pair] >= TIMES for pair in possible_pairs(LEVELS))
    assert len(grid()) >= 120
    assert len({point.id for point in all_points()}) == len(all_points())
    assert all(map(is_sensible, all_points()))


def test_a_point_says_its_rows_in_the_trainers_words() -> None:
    """Padded rows are shorter than what they are padded to; packed ones fill one length together."""
    padded, packed = (next(point for point in grid() if point.rows == rows) for rows in ("padded", "packed"))
    told = orders_of(padded, CARD)
    assert told["rehearsal"]["length"] == padded.length - SHORTER
    assert told["trainer"]["pad_to_multiple_of"] == padded.length
    told = orders_of(packed, CARD)
    assert told["trainer"]["padding_free"]
    assert told["rehearsal"]["length"] * told["trainer"]["per_device_train_batch_size"] == packed.length
    assert knobs_of(packed, model_of(packed.model)).per_device_train_batch_size == PACKED_ROWS


def test_an_answers_point_is_measured_as_it_is_predicted() -> None:
    """Two prompts of the length and as many new tokens; adapters beside the weights, unless all is trained."""
    answers = [point for point in all_points() if point.rows == "answers"]
    assert {point.method for point in answers} == {"full", "lora", "qlora4"}
    for point in answers:
        told = orders_of(point, CARD)
        assert told["point"] == [2, point.length, NEW_TOKENS]
        assert (told["peft"] is None) == (point.method == "full")
        assert not told["model"]["prepare"]


def test_cheap_points_come_before_dear_ones_that_tell_no_more() -> None:
    """Of two points that differ in their seconds alone, the cheaper comes first; none is lost."""
    points = list(all_points())
    found = ordered(points, lambda point: 1.0 + point.length)
    assert sorted(map(str, found)) == sorted(map(str, points))
    tail = [point.length for point in found[len(points) // 2 :]]
    assert tail == sorted(tail)


@pytest.mark.parametrize(
    ("libraries", "point", "word"),
    [
        (ALL - {"trl"}, next(p for p in grid() if p.rows == "packed" and p.method == "full"), "TRL"),
        (ALL - {"bitsandbytes"}, next(p for p in grid() if p.method == "qlora4"), "bitsandbytes"),
        (ALL - {"peft"}, CHEAP, "PEFT"),
    ],
)
def test_what_lacks_a_library_is_left_out_by_its_name(libraries: frozenset[str], point: Point, word: str) -> None:
    """A point is measured where its libraries are, and else skipped with the missing one's name."""
    reason = why_not(point, Here(CARD, libraries), None)
    assert reason is not None
    assert word in reason
    assert why_not(point, Here(CARD, ALL), None) is None


def test_plain_points_need_nothing_but_transformers_torch_and_peft() -> None:
    """Some points run without TRL and bitsandbytes, of every model."""
    plain = [point for point in all_points() if why_not(point, Here(CARD, frozenset({"peft"})), None) is None]
    assert {point.model for point in plain} == set(LEVELS["model"])


def test_what_cannot_fit_is_not_tried() -> None:
    """A point whose tensors alone are predicted to be more than the card is skipped; one byte less, and it is tried."""
    assert CARD.gpu
    full = {"allocated_bytes": CARD.gpu.vram_bytes}
    assert why_not(CHEAP, Here(CARD, ALL), full) is None
    assert "not to fit" in str(why_not(CHEAP, Here(CARD, ALL), {"allocated_bytes": CARD.gpu.vram_bytes + 1}))


def test_a_tiny_model_keeps_what_its_model_is() -> None:
    """Tied or not, grouped or not, with experts or a window: the small one of the same kind."""
    for name in LEVELS["model"]:
        small, large = tiny_model(name).config, model_of(name).config
        assert small["model_type"] == large["model_type"]
        assert small["tie_word_embeddings"] == large["tie_word_embeddings"]
        assert ("num_experts" in small, bool(small.get("sliding_window"))) == (
            "num_experts" in large,
            bool(large.get("sliding_window")),
        )


# Running


class Worker:
    """A double of `kit.child.Child`: what it answers is its point's, and it takes no time."""

    answers: dict[str, Any]
    started: list[str]

    def __init__(self, point: Point, orders: dict[str, Any]) -> None:
        self.point = point
        self.orders = orders
        self.started.append(point.id)

    def go(self) -> None:
        """At once."""

    def answer(self, seconds: float) -> Any:
        return self.answers.get(self.point.id, MEASURED)

    def close(self) -> None:
        """Nothing is left."""


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    Worker.answers, Worker.started = {}, []
    monkeypatch.setattr(running, "Child", Worker)
    return Session(Here(CARD, ALL), tmp_path, time.monotonic() + 3600, 1, {}, lambda _: None)


def test_points_with_a_receipt_are_not_measured_again(session: Session) -> None:
    """A second run goes on where the first ended; what was skipped is looked at again."""
    points = grid()[:4]
    write(session.folder, receipt_of(points[0], "cuda", MEASURED))
    write(session.folder, receipt_of(points[1], "cuda", {"skipped": "for a reason"}))
    run(points, session)
    assert Worker.started == [point.id for point in points[1:]]
    assert all("measured" in receipt for receipt in read(session.folder).values())


def test_a_failure_is_a_receipt_with_its_reason(session: Session) -> None:
    """A worker that failed leaves its reason, and the others are measured all the same."""
    points = grid()[:3]
    Worker.answers = {points[0].id: {"failed": "for a reason"}}
    run(points, session)
    found = read(session.folder)
    assert found[points[0].id]["failed"] == "for a reason"
    assert found[points[2].id]["measured"]["allocated_bytes"] == 7


def test_nothing_is_begun_that_the_time_left_is_too_short_for(session: Session) -> None:
    """What is guessed to take longer than the minutes left is not started; a worker that is not done leaves none."""
    session.deadline = time.monotonic() + 1
    run(grid()[:3], session)
    assert Worker.started == []
    session.deadline = time.monotonic() + 3600
    Worker.answers = {grid()[0].id: None}
    run(grid()[:1], session)
    assert read(session.folder) == {}


def test_a_half_written_receipt_counts_for_nothing(tmp_path: Path) -> None:
    """Only whole files are receipts."""
    (tmp_path / f".partial-{CHEAP.id}").write_text('{"id": ')
    write(tmp_path, receipt_of(CHEAP, "cuda", MEASURED))
    assert list(read(tmp_path)) == [CHEAP.id]


def test_stored_lines_are_replaced_by_newer_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for each point of a card, a torch and a day, however often it is collected."""
    monkeypatch.setattr("kit.receipts.STORED", tmp_path)
    stack = {"torch": "2.11.0+cu130", "torch_gpu": "NVIDIA H200"}
    for seconds in (1, 2):
        (path,) = store([receipt_of(CHEAP, "cuda", MEASURED | {"stack": stack}, seconds=seconds, date="2026-01-02")])
    assert path.name == "h200-torch-2.11.0-2026-01-02.jsonl"
    assert [json.loads(line)["seconds"] for line in path.read_text().splitlines()] == [2]


def test_the_promise_is_one_percent_allocated_and_three_reserved() -> None:
    """A gap is kept on either side of the promise, and broken beyond it; a wider range of reserved memory counts."""

    def gap(allocated: int, reserved: int, span: tuple[int, int] = (1000, 1000)) -> bool:
        return Gap("x", "card", 1000, allocated, 1000, reserved, span, None).is_kept

    assert gap(1010, 1030)
    assert gap(990, 970)
    assert not gap(1011, 1000)
    assert not gap(1000, 1031, (1001, 1100))
    assert gap(1000, 1031, (990, 1100))
