"""What the trainer would make of a file whose rows show images: how long each is, and some as the processor makes them.

Lengths are those of TRL's rows with what the orders say becomes of each image (`shown.py`). The examples, and the row
with most pieces of images, go through TRL's vision collator, and each is held against what was counted.

Knows: rows whose images can be read. Does not know: whether the processor does of every other row as it was counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

from finefit.errors import BadInput, RunFailed
from finefit.tables import place

from .images import UNTRAINED
from .looking import check, spread
from .pictures import pictured
from .processor import processor_of
from .reason import one_line
from .shown import ShownRows

PLACES = "the chat template writes a place for each image"
AGREES = "the model's own processor makes as many tokens as are counted"

Made = tuple[list[int], list[int]]
"""Of a row: tokens and labels."""


def looked(tokenizer: Any, prepared: Any, template: str | None, orders: dict[str, Any]) -> dict[str, Any]:
    """`prepared`: rows with one placeholder for each image; `template`: None is the tokenizer's own."""
    try:
        rows = ShownRows.of(orders["images"], orders["data"], prepared)
    except BadInput as error:
        return {"lengths": None, "examples": [], "checks": [check(PLACES, False, str(error.problems[0]))]}
    lengths = [[tokens, trained] for tokens, trained in zip(rows.lengths, rows.trained, strict=True)]
    shown = spread(rows.lengths, orders["examples"])
    try:
        made = dict(_made(tokenizer, template, orders, dict.fromkeys((*shown, rows.most_shown))))
    except (OSError, ValueError, ImportError, RunFailed) as error:
        return {"lengths": lengths, "examples": [], "checks": [check(AGREES, False, one_line(error))]}
    examples = [
        {"row": number, "tokens": len(made[number][0]), "pieces": list(_pieces(tokenizer, *made[number], rows.token))}
        for number in shown
    ]
    return {"lengths": lengths, "examples": examples, "checks": [_agreement(rows, made, orders["data"])]}


def _made(
    tokenizer: Any, template: str | None, orders: dict[str, Any], numbers: Iterable[int]
) -> Iterator[tuple[int, Made]]:
    """Rows by their numbers, each alone."""
    collator = DataCollatorForVisionLanguageModeling(
        processor=processor_of(orders["model"]["folder"]),
        assistant_only_loss=orders["trainer"]["assistant_only_loss"],
        chat_template=template or tokenizer.chat_template,
    )
    rows = pictured(orders["data"], "train")
    for number in numbers:
        batch = collator([rows[number].example()])
        yield number, (batch["input_ids"][0].tolist(), batch["labels"][0].tolist())


def _agreement(rows: ShownRows, made: Mapping[int, Made], data: Mapping[str, Any]) -> dict[str, Any]:
    path, lines = data["train"], data["lines"]["train"]
    apart = [
        f"{place(path, lines[number])} has {len(ids):,}, and {rows.lengths[number]:,} are counted"
        for number, (ids, _) in made.items()
        if len(ids) != rows.lengths[number]
    ]
    return check(AGREES, not apart, "; ".join(apart))


def _pieces(tokenizer: Any, ids: Sequence[int], labels: Sequence[int], token: int) -> Iterator[dict[str, Any]]:
    """Text that is trained or not; of placeholders that follow one another the first, and how many they are."""
    for is_trained, group in groupby(zip(ids, labels, strict=True), key=lambda pair: pair[1] != UNTRAINED):
        yield {"text": "".join(_written(tokenizer, [one for one, _ in group], token)), "is_trained": is_trained}


def _written(tokenizer: Any, ids: Sequence[int], token: int) -> Iterator[str]:
    for is_image, group in groupby(ids, key=lambda one: one == token):
        run = list(group)
        many = f" × {len(run):,}" if is_image and len(run) > 1 else ""
        yield tokenizer.decode(run[:1] if is_image else run, skip_special_tokens=False) + many
