"""`data`: what is in a file, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from finefit.catalog.images import refused
from finefit.lower.images import cannot_show, tokens_of
from finefit.lower.rows import rows_orders
from finefit.nouns.data_report import Check, DataReport, Example, Looked, Piece
from finefit.nouns.images import Size
from finefit.nouns.model import Model
from finefit.rehearsal.files import Files
from finefit.rehearsal.own_images import told_of
from finefit.run import worker
from finefit.tables import place
from finefit.world.image_files import Looks
from finefit.world.lengths import counted_lengths
from finefit.world.models import find_model, with_tokenizer
from finefit.world.rows import Rows, repeated, scan

from .fetching import file_here
from .scanned_images import shown_in

WRITTEN = "by the model's own tokenizer and chat template, as TRL prepares rows"
NO_STACK = "the training libraries are not installed: no row is written with the chat template"
IMAGES = "what images take depends on the model, and is not counted: --model says which"
GROWN = "what images become is counted by the rules of the model's processor"
PAIRS = "the tokens of a pair are those of the prompt and the longer answer"

Lengths = tuple[tuple[int, int], ...]
"""Of each row: all tokens, and the trained ones."""


def data(
    path: str, *, model: str | None = None, max_length: int | None = None, progress: Callable[[str], None] | None = None
) -> DataReport:
    """Every row, good or bad, with the pixels of its images; `path` may name rows of the hub. Raises `BadInput` where
    there is no file to read."""
    say = progress or (lambda _: None)
    path, fetched = file_here(path, say)
    found, has_tokenizer = (None, False) if model is None else with_tokenizer(find_model(model))
    say("reading the rows")
    rows = scan(path, "" if found is None else cannot_show(found), Looks(decodes=True, refused=_refused_by(found)))
    looked, notes = _looked(path, rows, found if has_tokenizer else None, say)
    if looked is not None and looked.lengths is not None:
        lengths, counted = looked.lengths, WRITTEN
    else:
        lengths, counted = _counted(path, rows, found, has_tokenizer)
        notes += () if not rows.shown else (IMAGES,) if found is None else (GROWN,)
    limit = max_length or (None if found is None else found.made_for)
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
        notes=(*fetched, *notes, *((PAIRS,) if is_pairs else ())),
        shown=shown_in(path, rows, found, [tokens for tokens, _ in lengths]) if rows.shown else None,
    )


def _refused_by(model: Model | None) -> Callable[[Size], str]:
    return (lambda _: "") if model is None else partial(refused, model.config)


def _counted(path: str, rows: Rows, model: Model | None, has_tokenizer: bool) -> tuple[Lengths, str]:
    """Without the training libraries; and how."""
    folder = model.folder if model is not None and has_tokenizer else None
    lengths, how = counted_lengths(path, rows, folder, True)
    added = [0 if model is None else tokens_of(model, sizes) for sizes in rows.sizes]
    return tuple((tokens + more, trained) for (tokens, trained), more in zip(lengths, added, strict=True)), how


def _looked(
    path: str, rows: Rows, model: Model | None, say: Callable[[str], None]
) -> tuple[Looked | None, tuple[str, ...]]:
    """None where there is no tokenizer, or nothing that the trainer of this version takes."""
    if model is None or not rows.lines:
        return None, ()
    if find_spec("trl") is None:
        return None, (NO_STACK,)
    say("writing the rows with the model's chat template")
    orders = rows_orders(str(Path(path).absolute()), rows.format, rows.bad, model.folder)
    if rows.shown:
        told = told_of(Files(rows, None), model)
        orders |= {"data": orders["data"] | told.data, "images": told.images}
    answer = worker.ask("data", orders)
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
