"""A file's rows that show images: the step on each micro-batch that may be the fullest, and the largest of these.

The language model's part of a step grows with the length of rows, the tower's with the patches of their images, and no
row need have the most of both. So every micro-batch is rehearsed that no other exceeds in length, in patches, in their
squares and in being padded (`nouns/fullest.py`), a few where they are many, and the one with the largest peak is taken.

Knows: any rows may meet, as in a shuffled order. Does not know: the order of a run, which trains on text in this
version; so reserved memory after other rows is as far off as where no rows are known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finefit.catalog.images import refused
from finefit.errors import BadInput, Problem
from finefit.lower.images import words_of_sizes
from finefit.nouns.images import Showing, Size
from finefit.nouns.recording import Recording
from finefit.world.rows import SHOWN, Rows

from .find import fullest_of, rehearse
from .recipe import Recipe


@dataclass(frozen=True)
class Seen:
    recording: Recording
    # of the fullest micro-batch
    length: int
    # to which its rows are padded
    showing: Showing
    facts: Mapping[str, Any]
    stack: Mapping[str, str]
    notes: tuple[str, ...]


def rehearse_images(rows: Rows, path: str, recipe: Recipe, asked: dict[str, Any], say: Callable[[str], None]) -> Seen:
    """`asked`: of a rehearsal of the rows, as if they showed nothing. Raises `BadInput` with the lines whose images the
    model's processor refuses."""
    _refuse(rows, path, recipe)
    orders = _with_images(asked, rows, recipe)
    recording, answer, notes = rehearse(orders, recipe.layers, say)
    fullest, place = fullest_of(recording, answer, recipe)
    facts = dict(answer["data"])
    batches, more = facts.pop("batches"), facts.pop("more")
    showing = _showing(rows, batches[place]["rows"], len(batches), more)
    return Seen(
        recording=fullest,
        length=batches[place]["length"],
        showing=showing,
        facts=facts | {"longest_line": rows.lines[facts["longest_line"] - 1]},
        stack=answer["stack"],
        notes=(*notes, _note(showing, path)),
    )


def _refuse(rows: Rows, path: str, recipe: Recipe) -> None:
    problems = [
        Problem(f"an image is {size[0]} × {size[1]}: {why}", where=f"{path}:{line}")
        for line, sizes in zip(rows.lines, rows.shown, strict=True)
        for size in sizes
        if (why := refused(recipe.model.config, size))
    ]
    if problems:
        raise BadInput(*problems[:SHOWN], Problem(f"{len(problems)} images are refused", where=path))


def _with_images(asked: dict[str, Any], rows: Rows, recipe: Recipe) -> dict[str, Any]:
    sizes = list(dict.fromkeys(size for shown in rows.shown for size in shown))
    numbers = {size: number for number, size in enumerate(sizes)}
    shown = [[numbers[size] for size in each] for each in rows.shown]
    micro_batch = min(recipe.knobs.per_device_train_batch_size, rows.rows)
    return asked | {
        "data": asked["data"] | {"lines": list(rows.lines), "shown": shown},
        "trainer": asked["trainer"] | {"per_device_train_batch_size": micro_batch},
        "rehearsal": asked["rehearsal"] | {"images": words_of_sizes(recipe.model, sizes), "shorter": False},
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
