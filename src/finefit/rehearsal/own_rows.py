"""A job's own rows: the step on the fullest micro-batch of them, and how the run meets all of them.

Knows: what the model's tokenizer makes of the rows; without it, about how long they are. Does not know: rows of other
tasks than training on conversations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from finefit.estimate.lengths import Rows
from finefit.lower.orders import job_orders, rehearsal_orders
from finefit.nouns.data import DataFacts
from finefit.nouns.job import Job
from finefit.nouns.recording import Recording
from finefit.world.lengths import APPROXIMATION, approximate_lengths
from finefit.world.rows import TEXT_ALONE, check_rows
from finefit.world.rows import Rows as Lines

from .find import rehearse, rows_of
from .own_images import rehearse_images
from .recipe import Recipe


@dataclass(frozen=True)
class OwnRows:
    recording: Recording
    rows: Rows | None
    # as the run meets them
    data: DataFacts
    length: int
    # to which the rows of the recorded micro-batch are padded
    lengths: tuple[int, ...]
    # of all rows of text; nothing where rows show images
    orders: Mapping[str, Any]
    # what the run is told
    stack: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Files:
    """Of a job, checked row by row."""

    train: Lines
    held_out: Lines | None


def checked_files(job: Job, blind: str = TEXT_ALONE) -> Files:
    """`blind`: why no row may show images. Raises `BadInput` with the lines that are no rows."""
    return Files(check_rows(job.data, blind), check_rows(job.eval_data, blind) if job.eval_data else None)


def rehearse_rows(
    job: Job, files: Files, recipe: Recipe, say: Callable[[str], None], *, has_tokenizer: bool = True
) -> OwnRows:
    """Raises `BadInput` where rows are longer than the job allows."""
    orders = job_orders(job, recipe.model, recipe.method, recipe.knobs, recipe.machine)
    asked = rehearsal_orders(orders, recipe.model, recipe.knobs, recipe.machine, recipe.loop)
    asked["rehearsal"]["shorter"] = not recipe.machine.is_cpu
    if not has_tokenizer:
        asked["data"] = orders["data"] | {"lengths": approximate_lengths(job.data, job.assistant_only_loss)}
    held_out = files.held_out.rows if files.held_out else 0
    approximated = () if has_tokenizer else (APPROXIMATION,)
    if files.train.shown:
        seen = rehearse_images(files.train, job.data, recipe, asked, say)
        data = DataFacts(eval_rows=held_out, shown=seen.showing, **seen.facts)
        notes = (*seen.notes, *approximated)
        return OwnRows(seen.recording, None, data, seen.length, (), orders, seen.stack, notes)
    recording, answer, notes = rehearse(asked, recipe.layers, say)
    facts = answer["data"] | {"longest_line": files.train.lines[answer["data"]["longest_line"] - 1]}
    return OwnRows(
        recording=recording,
        rows=rows_of(recipe, recording, answer),
        data=DataFacts(eval_rows=held_out, **facts),
        length=facts["longest_tokens"],
        lengths=tuple(answer["lengths"]),
        orders=orders,
        stack=answer["stack"],
        notes=(*notes, *approximated),
    )
