"""`data`: what is in a file, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from finefit.lower.images import cannot_show
from finefit.lower.rows import rows_orders
from finefit.nouns.data_report import Check, DataReport, Example, Looked, Piece
from finefit.nouns.model import Model
from finefit.run import worker
from finefit.tables import place
from finefit.world.lengths import counted_lengths
from finefit.world.models import find_model, with_tokenizer
from finefit.world.rows import Rows, repeated, scan

from .fetching import file_here

WRITTEN = "by the model's own tokenizer and chat template, as TRL prepares rows"
NO_STACK = "the training libraries are not installed: no row is written with the chat template"
IMAGES = "what images take is not counted here: `finefit estimate MODEL --data FILE` does"
PAIRS = "the tokens of a pair are those of the prompt and the longer answer"


def data(
    path: str, *, model: str | None = None, max_length: int | None = None, progress: Callable[[str], None] | None = None
) -> DataReport:
    """Every row, good or bad; `path` may name rows of the hub. Raises `BadInput` where there is no file to read."""
    say = progress or (lambda _: None)
    path, fetched = file_here(path, say)
    found, has_tokenizer = (None, False) if model is None else with_tokenizer(find_model(model))
    rows = scan(path, "" if found is None else cannot_show(found))
    looked, notes = _looked(path, rows, found if has_tokenizer else None, say)
    if looked is not None and looked.lengths is not None:
        lengths, counted = list(looked.lengths), WRITTEN
    else:
        folder = found.folder if found is not None and has_tokenizer else None
        lengths, counted = counted_lengths(path, rows, folder, True)
    limit = max_length or _limit(found)
    is_pairs = rows.format.trained == "pairs"
    return DataReport(
        path=path,
        format=rows.format.name,
        how=rows.format.words(),
        rows=rows.rows,
        bad=rows.left_out,
        repeated=repeated(path, rows),
        unread=rows.unread,
        images=sum(map(len, rows.shown)),
        lengths=tuple(tokens for tokens, _ in lengths),
        trained_tokens=None if is_pairs else sum(trained for _, trained in lengths),
        counted=counted,
        max_length=limit,
        over=tuple(
            place(path, line)
            for line, (tokens, _) in zip(rows.lines, lengths, strict=True)
            if limit is not None and tokens > limit
        ),
        examples=() if looked is None else looked.examples,
        checks=() if looked is None else looked.checks,
        notes=(*fetched, *notes, *((PAIRS,) if is_pairs else ()), *((IMAGES,) if rows.shown else ())),
    )


def _looked(
    path: str, rows: Rows, model: Model | None, say: Callable[[str], None]
) -> tuple[Looked | None, tuple[str, ...]]:
    """None where there is no tokenizer, or nothing that the trainer of this version takes."""
    if model is None or rows.shown or not rows.lines:
        return None, ()
    if find_spec("trl") is None:
        return None, (NO_STACK,)
    say("writing the rows with the model's chat template")
    answer = worker.ask("data", rows_orders(str(Path(path).absolute()), rows.format, rows.bad, model.folder))
    lengths, examples = answer["lengths"], answer["examples"]
    pieces = [tuple(Piece(**piece) for piece in one["pieces"]) for one in examples]
    return Looked(
        lengths=None if lengths is None else tuple((tokens, trained) for tokens, trained in lengths),
        examples=tuple(
            Example(place(path, rows.lines[one["row"]]), one["tokens"], shown)
            for one, shown in zip(examples, pieces, strict=True)
        ),
        checks=tuple(Check(**check) for check in answer["checks"]),
    ), ()


def _limit(model: Model | None) -> int | None:
    """Positions that the model knows."""
    if model is None:
        return None
    inner = model.config.get("text_config") or {}
    limit = model.config.get("max_position_embeddings", inner.get("max_position_embeddings"))
    return limit if isinstance(limit, int) and limit > 0 else None
