"""A file's rows that show images: the step on each micro-batch that may be the fullest, and the largest of these.

The language model's part of a step grows with the length of rows, the tower's with the patches of their images, and no
row need have the most of both. So every micro-batch is rehearsed that no other exceeds in length, in patches, in their
squares and in being padded (`nouns/fullest.py`), a few where they are many, and the one with the largest peak is taken.

A run meets that micro-batch in its second step, and other rows in any order.

Knows: any rows may meet, as in a shuffled order. Does not know: reserved memory after other rows, which is as far off
as where no rows are known; whether a batch of held-out rows that is not the longest takes more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from finefit.catalog.images import refused
from finefit.errors import BadInput, Problem
from finefit.lower.images import words_of_sizes
from finefit.nouns.images import Showing, Size
from finefit.nouns.job import Job
from finefit.nouns.model import Model
from finefit.nouns.recording import Recording
from finefit.world.rows import SHOWN, Rows

from .files import Files
from .find import fullest_of, rehearse
from .recipe import Recipe


@dataclass(frozen=True)
class Seen:
    recording: Recording
    # of the fullest micro-batch
    length: int
    # to which its rows are padded
    lengths: tuple[int, ...]
    # of all rows, with their images
    showing: Showing
    facts: Mapping[str, Any]
    told: Told
    # with the rows that a run is to meet first
    stack: Mapping[str, str]
    notes: tuple[str, ...]


def rehearse_images(files: Files, job: Job, recipe: Recipe, asked: dict[str, Any], say: Callable[[str], None]) -> Seen:
    """`asked`: of a rehearsal of the rows, as if they showed nothing. Raises `BadInput` with the lines whose images the
    model's processor refuses, and where something is asked for that does not go with images."""
    rows, path = files.train, job.data
    _refuse(files, job, recipe)
    told = told_of(files, recipe.model)
    recording, answer, notes = rehearse(with_images(asked, told, rows, recipe), recipe.layers, say)
    fullest, place = fullest_of(recording, answer, recipe)
    facts = dict(answer["data"])
    batches, more = facts.pop("batches"), facts.pop("more")
    showing = _showing(rows, batches[place]["rows"], len(batches), more)
    return Seen(
        recording=fullest,
        length=batches[place]["length"],
        lengths=tuple(answer["lengths"]),
        showing=showing,
        facts=facts | {"longest_line": rows.lines[facts["longest_line"] - 1]},
        told=replace(told, data=told.data | {"first": batches[place]["rows"]}),
        stack=answer["stack"],
        notes=(*notes, _note(showing, path)),
    )


def _refuse(files: Files, job: Job, recipe: Recipe) -> None:
    if recipe.knobs.packing:
        why = "TRL packs text alone, and these rows show images"
        raise BadInput(Problem("does not go with images", where="packing", why=why, hint="packing: false"))
    if not files.train.shown:
        what, hint = "its rows show images, and no row that is trained on does", "held-out rows like those trained on"
        raise BadInput(Problem(what, where=str(job.eval_data), hint=hint))
    for rows, path in ((files.train, job.data), (files.held_out, job.eval_data)):
        if rows is not None:
            _refuse_images(rows, str(path), recipe)


def _refuse_images(rows: Rows, path: str, recipe: Recipe) -> None:
    problems = [
        Problem(f"an image is {size[0]} × {size[1]}: {why}", where=f"{path}:{line}")
        for line, sizes in zip(rows.lines, rows.sizes, strict=True)
        for size in sizes
        if (why := refused(recipe.model.config, size))
    ]
    if problems:
        raise BadInput(*problems[:SHOWN], Problem(f"{len(problems)} images are refused", where=path))


@dataclass(frozen=True)
class Told:
    """What the worker is told of images, in a rehearsal and in a run."""

    data: dict[str, Any]
    # of each file: where its rows stand, and the numbers of the sizes that they show
    images: Mapping[str, Any]
    # what becomes of each size


def told_of(files: Files, model: Model) -> Told:
    both = {which: rows for which, rows in (("train", files.train), ("eval", files.held_out)) if rows is not None}
    sizes = list(dict.fromkeys(size for rows in both.values() for shown in rows.shown for size in shown))
    numbers = {size: number for number, size in enumerate(sizes)}
    data = {
        "lines": {which: list(rows.lines) for which, rows in both.items()},
        "shown": {which: [[numbers[size] for size in each] for each in rows.sizes] for which, rows in both.items()},
    }
    return Told(data, words_of_sizes(model, sizes))


def with_images(asked: dict[str, Any], told: Told, rows: Rows, recipe: Recipe) -> dict[str, Any]:
    """A rehearsal of rows that show them."""
    micro_batch = min(recipe.knobs.per_device_train_batch_size, rows.rows)
    return asked | {
        "data": asked["data"] | told.data,
        "trainer": asked["trainer"] | {"per_device_train_batch_size": micro_batch},
        "rehearsal": asked["rehearsal"] | {"images": told.images, "shorter": False},
    }


def _showing(rows: Rows, batch: Sequence[int], rehearsed: int, more: int) -> Showing:
    by_area: list[Size] = sorted((size for shown in rows.shown for size in shown), key=lambda size: size[0] * size[1])
    return Showing(
        images=len(by_area),
        rows=sum(map(bool, rows.shown)),
        smallest=by_area[0],
        largest=by_area[-1],
        peak_lines=tuple(sorted(rows.lines[number] for number in batch)),
        rehearsed=rehearsed,
        more=more,
    )


def _note(showing: Showing, path: str) -> str:
    where = ", ".join(f"{path}:{line}" for line in showing.peak_lines)
    tried = (
        "of the micro-batches that rows may make, those were rehearsed that no other exceeds in length, patches, their "
        f"squares and padding: {showing.rehearsed}"
    )
    more = f", of {showing.rehearsed + showing.more}, spread evenly" if showing.more else ""
    return f"the peak is that of {where}; {tried}{more}"
