"""A job's own rows: the step on the fullest micro-batch of them, and how the run meets all of them.

Knows: what the model's tokenizer makes of rows, and of pairs for preferences; without it, about how long they are.
Does not know: prompts that are to be answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from finefit.estimate.lengths import Rows
from finefit.lower.orders import job_orders, rehearsal_orders
from finefit.lower.preferences import task_orders
from finefit.lower.rows import with_rows
from finefit.nouns.data import DataFacts
from finefit.nouns.job import Job
from finefit.nouns.knobs import Knobs
from finefit.nouns.recording import Recording
from finefit.world.lengths import APPROXIMATION, approximate_lengths

from .files import Files, read_as
from .find import fullest_of, rehearse, rows_of
from .own_images import rehearse_images
from .recipe import Recipe


@dataclass(frozen=True)
class OwnRows:
    recording: Recording
    rows: Rows | None
    # as the run meets them
    data: DataFacts
    length: int
    # to which the rows of the recorded micro-batch are padded; where they are packed, all its tokens
    lengths: tuple[int, ...]
    # of all rows, with what their images become
    orders: Mapping[str, Any]
    # what the run is told
    stack: Mapping[str, str]
    notes: tuple[str, ...]

    def recorded(self, knobs: Knobs) -> Knobs:
        """As if these were for the recorded micro-batch."""
        of_one = replace(knobs, per_device_train_batch_size=1) if knobs.packing else knobs
        return replace(of_one, max_length=self.length)

    def met(self, knobs: Knobs, job: Job) -> Knobs:
        """With the longest sequence that there is room for."""
        packed_to = job.max_length if knobs.packing else None
        return replace(knobs, max_length=packed_to or self.data.longest_tokens)


def rehearse_rows(
    job: Job, files: Files, recipe: Recipe, say: Callable[[str], None], *, has_tokenizer: bool = True
) -> OwnRows:
    """Raises `BadInput` where rows are longer than the job allows."""
    orders = job_orders(job, recipe.model, recipe.method, recipe.knobs, recipe.machine)
    orders = with_rows(orders, files.train.format, files.left_out)
    orders |= task_orders(recipe.task, recipe.model, recipe.method, recipe.knobs)
    asked = rehearsal_orders(orders, recipe.model, recipe.knobs, recipe.machine, recipe.loop)
    asked["rehearsal"]["shorter"] = not recipe.machine.is_cpu
    if not has_tokenizer:
        lengths = approximate_lengths(job.data, files.train, job.assistant_only_loss)
        asked["data"] = orders["data"] | {"lengths": lengths}
    counts = files.counts()
    approximated = (*read_as(job, files), *(() if has_tokenizer else (APPROXIMATION,)))
    if files.show:
        seen = rehearse_images(files, job, recipe, asked, say)
        data = DataFacts(shown=seen.showing, **counts, **seen.facts)
        orders |= {"data": orders["data"] | seen.told.data, "images": seen.told.images}
        notes = (*seen.notes, *approximated)
        return OwnRows(seen.recording, None, data, seen.length, seen.lengths, orders, seen.stack, notes)
    recording, answer, notes = rehearse(asked, recipe.layers, say)
    facts = answer["data"] | {"longest_line": files.train.lines[answer["data"]["longest_line"] - 1]}
    tokens = facts.pop("batch_tokens")
    fullest, place = fullest_of(recording, answer, recipe)
    return OwnRows(
        recording=fullest,
        rows=None if answer["others"] else rows_of(recipe, recording, answer),  # of one history alone
        data=DataFacts(**counts, **facts),
        length=tokens[place],
        lengths=tuple(answer["lengths"]),
        orders=orders,
        stack=answer["stack"],
        notes=(*notes, *approximated),
    )
