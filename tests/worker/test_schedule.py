"""The micro-batches of a run, known before it runs."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
import recipes
from datasets import Dataset
from trl import SFTConfig

from finefit.nouns.recording import Recording
from finefit.nouns.schedule import Step, chosen
from finefit.tape.expand import storages_and_events
from finefit.worker import rehearse
from finefit.worker.build import model_class, read_config
from finefit.worker.schedule import Schedule
from finefit.worker.shorter import shorter_rows
from finefit.worker.stage import Stage
from finefit.worker.synthetic import padding_tokenizer
from finefit.worker.trainer import Trainer

LENGTHS = [3 + (row * 7) % 23 for row in range(23)]
ARGUMENTS = {
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 3,
    "num_train_epochs": 2.0,
    "max_steps": -1,
    "seed": 5,
    "eval_strategy": "no",
    "eval_steps": None,
    "save_steps": 4,
}


def really(order: dict[str, Any]) -> list[tuple[int, ...]]:
    """The shapes that the trainer's own loader brings, epoch after epoch."""
    rows = Dataset.from_list([{"input_ids": [1] * length, "labels": [1] * length} for length in LENGTHS])
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        trainer = Trainer(
            model=model_class(read_config(order["model"])).from_config(read_config(order["model"])),
            args=SFTConfig(
                output_dir=folder,
                use_cpu=True,
                bf16=False,
                report_to="none",
                max_length=None,
                dataset_kwargs={"skip_prepare_dataset": True},
                **{name: ARGUMENTS[name] for name in ARGUMENTS if not name.startswith("eval")},
            ),
            train_dataset=rows,
            processing_class=padding_tokenizer(),
            stage=Stage(),
        )
        loader = trainer.get_train_dataloader()
        shapes = []
        for epoch in range(2):
            loader.set_epoch(epoch)
            shapes += [tuple(batch["input_ids"].shape) for batch in loader]
    return shapes


def test_the_schedule_is_what_the_loader_brings() -> None:
    """Rows and padded lengths of every micro-batch, in the order of the run, over two epochs."""
    schedule = Schedule(LENGTHS, ARGUMENTS, has_held_out=False)
    steps = list(schedule.steps())
    sizes = [schedule.size(batch) for step in steps for batch in step]
    assert [(each.rows, each.length) for each in sizes] == really(recipes.orders())
    assert len(steps) == 2 * 4
    assert any(each.is_padded for each in sizes)


@pytest.mark.parametrize(
    ("changes", "emptied"),
    [
        ({}, [4, 8]),
        ({"save_steps": 1}, [2, 3, 4, 5, 6, 7, 8]),
        ({"eval_strategy": "steps", "eval_steps": 3, "save_steps": 50}, [3, 6]),
    ],
)
def test_the_cache_is_emptied_after_saving_and_evaluating(changes: dict[str, Any], emptied: list[int]) -> None:
    """Not before the first two steps are measured; and before training, where held-out rows are evaluated first."""
    schedule = Schedule(LENGTHS, ARGUMENTS | changes, has_held_out=False)
    assert [done for done in range(9) if schedule.empties_cache(done)] == emptied
    assert Schedule(LENGTHS, ARGUMENTS, has_held_out=True).empties_cache(0)


def test_a_short_run_ends_where_its_steps_do() -> None:
    schedule = Schedule(LENGTHS, ARGUMENTS | {"max_steps": 3}, has_held_out=False)
    assert len(list(schedule.steps())) == 3


def test_micro_batches_of_fewer_rows_are_left_out() -> None:
    """They are no longer than the others are; what they leave out empties the cache all the same."""
    changes = {"per_device_train_batch_size": 22, "gradient_accumulation_steps": 1, "save_steps": 3}
    schedule = Schedule(LENGTHS, ARGUMENTS | changes | {"num_train_epochs": 3.0}, has_held_out=False)
    assert [len(step[0]) for step in schedule.steps()] == [22, 1, 22, 1, 22, 1]
    found = schedule.chosen(22)
    assert {each.rows for step in found for each in step.micro_batches} == {22}
    assert found[-1].empties_cache


def rows_of(*lengths: int) -> list[dict[str, list[int]]]:
    return [{"input_ids": list(range(n)), "labels": [-100] * (n // 2) + list(range(n // 2, n))} for n in lengths]


@pytest.mark.parametrize("lengths", [(640, 100), (641, 640), (640, 640), (333,)])
def test_shorter_rows_are_padded_alike(lengths: tuple[int, ...]) -> None:
    """The longest stays a multiple of 16 or none, what was padded is padded still, and half of each row is trained."""
    found = list(shorter_rows(rows_of(*lengths)))
    assert len(found) == 2
    for rows in found:
        after = [len(row["input_ids"]) for row in rows]
        assert max(after) % 16 == 0 if max(lengths) % 16 == 0 else max(after) % 16
        assert [length == max(after) for length in after] == [length == max(lengths) for length in lengths]
        trained = [sum(label != -100 for label in row["labels"]) for row in rows]
        assert all(abs(share - length / 2) <= 1 for share, length in zip(trained, after, strict=True))


@pytest.fixture(scope="module")
def job(orders: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """A job's orders, as a GPU's rehearsal."""
    made = orders(device="cuda", data=orders()["data"])
    rehearsal = {"length": 0, "accumulation": 2, "layers": [None], "kinds": "aa", "takes": [], "shorter": True}
    gpu = {"compute_capability": [8, 0], "attention_kernel": "auto", "hold_outputs": "no"}
    return made | {"rehearsal": rehearsal | gpu}


def rehearsed(order: dict[str, Any]) -> tuple[Recording, Any]:
    with contextlib.redirect_stdout(io.StringIO()):
        recording, data = rehearse._rehearse(order, None)
    return Recording.from_json(recording), data


def test_tokenised_rows_are_rehearsed_like_those_of_the_file(job: dict[str, Any]) -> None:
    """The fullest micro-batch once more, from its token ids: the same births, deaths and bytes, held-out rows too."""
    recording, data = rehearsed(job)
    told = job["rehearsal"] | {"rows": data.fullest, "held_out": data.held_out}
    again, _ = rehearsed(job | {"rehearsal": told})
    assert storages_and_events(again) == storages_and_events(recording)


def test_shorter_rows_are_rehearsed_too(job: dict[str, Any]) -> None:
    """The same births and deaths, and fewer bytes; the schedule has the longest row in its second step."""
    recording, data = rehearsed(job)
    (length, told), *_ = rehearse._shorter(job, data)
    shorter = Recording.from_json(told)
    assert length < data.facts["longest_tokens"]
    assert storages_and_events(shorter)[1] == storages_and_events(recording)[1]
    assert sum(shorter.nbytes) < sum(recording.nbytes)
    second = Step.from_json(data.schedule[1])
    assert max(each.length for each in second.micro_batches) == data.facts["longest_tokens"]


def test_of_large_data_only_the_beginning_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finefit.worker.schedule.MOST_ROWS", 11)
    schedule = Schedule(LENGTHS, ARGUMENTS | {"save_steps": 2}, has_held_out=False)
    assert schedule.chosen(2) == chosen_of_first(schedule, 2)


def chosen_of_first(schedule: Schedule, steps: int) -> list[Step]:
    first = list(schedule.steps())[:steps]
    return chosen([Step(tuple(map(schedule.size, step))) for step in first])
