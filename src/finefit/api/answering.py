"""`generate`, `generate_file`, `chat`: what a model answers, with the adapter of a run or without."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from finefit import whole
from finefit.errors import BadInput, Problem
from finefit.lower.images import cannot_show, tokens_of
from finefit.lower.orders import base_orders
from finefit.nouns.knobs import Dtype, Knobs
from finefit.nouns.sampling import AnsweredFile, Sampling
from finefit.run import folder, session, worker
from finefit.run.events import Event
from finefit.search.packed import to_run
from finefit.world.gpus import machine_named
from finefit.world.models import find_model
from finefit.world.pictures import refuse_blind
from finefit.world.questions import Question, read_questions

from .showing import NOTHING, Chat, looks_of, model_in, sees, show, stamps_of

Orders = dict[str, Any]
LIKELIEST = Sampling()


def generate(
    target: str,
    prompts: Sequence[str],
    sampling: Sampling = LIKELIEST,
    base: bool = False,
    images: Sequence[str] = (),
) -> list[str]:
    """One answer a prompt, from a run's model with its adapter, or from a model folder; `base` leaves it out. `images`:
    files that are shown with each prompt, before its words. Raises `BadInput`."""
    orders = _orders(target, base)
    shown = show(images, orders) if images else NOTHING
    asked = [[{"role": "user", "content": shown.before(prompt)}] for prompt in prompts]
    where = [f"prompt {number}" for number in range(1, len(prompts) + 1)]
    texts: list[str] = _ask(orders, asked, where, sampling, [shown.added] * len(prompts))["texts"]
    return texts


def compare(
    target: str, prompts: Sequence[str], sampling: Sampling = LIKELIEST, images: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """Of the model before and after the run. One after the other: the two need not fit at once."""
    _refuse_model(target)
    return generate(target, prompts, sampling, True, images), generate(target, prompts, sampling, images=images)


def generate_file(
    target: str,
    path: Path,
    output: Path,
    sampling: Sampling,
    *,
    base: bool = False,
    compared: bool = False,
    batch: int = 8,
    say: Callable[[str], None] = lambda _: None,
) -> AnsweredFile:
    """Every row of a JSONL file with its answer, in their order. The file appears when it is whole; what was answered
    before a kill is not answered again."""
    if compared:
        _refuse_model(target)
    if output.exists():
        raise BadInput(Problem("is there already", where=str(output), hint="another file, or move that one away"))
    if not output.parent.is_dir():
        raise BadInput(Problem("there is no such folder", where=str(output.parent)))
    parts = {"base_answer": True, "answer": False} if compared else {"answer": base}
    orders_of = {name: _orders(target, is_base) for name, is_base in parts.items()}
    model = model_in(orders_of["answer"])
    questions = read_questions(path, cannot_show(model), looks_of(model))
    if any(question.sizes for question in questions):
        refuse_blind(Path(str(model.folder)))
    added = [tokens_of(model, question.sizes) for question in questions]
    found, kept = {}, []
    for name, is_base in parts.items():
        say(f"answering {len(questions):,} rows" + (", without the adapter" if is_base else ""))
        lines = _lines_of(output, target, questions, sampling, is_base, batch)
        asked = [question.messages for question in questions]
        where = [question.where for question in questions]
        kept_in = str(lines.absolute())
        found[name] = _ask(
            orders_of[name], asked, where, sampling, added, batch, kept_in, lambda event: say(event["text"])
        )
        kept.append(lines)
    rows = [
        {**question.row, **{name: answers["texts"][number] for name, answers in found.items()}}
        for number, question in enumerate(questions)
    ]
    whole.write(output, "".join(json.dumps(row, ensure_ascii=False, default=_base64) + "\n" for row in rows))
    for lines in kept:
        lines.unlink()
    tokens = sum(answers["tokens"] for answers in found.values())
    return AnsweredFile(str(output), len(rows), tokens, sum(answers["seconds"] for answers in found.values()))


@contextmanager
def chat(target: str, base: bool, sampling: Sampling) -> Iterator[Chat]:
    """A conversation with a model that stays loaded."""
    orders = _orders(target, base)
    with session.opened(orders, sampling) as opened:
        yield Chat(opened, orders)


def _orders(target: str, base: bool) -> Orders:
    here = machine_named("auto")
    if Path(target, "plan.json").exists():
        run = folder.open_run(Path(target))
        orders: Orders = json.loads(run.orders.read_text())
        if not base and not run.adapter.is_dir():
            hint = f"finefit train {target} --resume; or --base, for the model without it"
            raise BadInput(Problem("this run is not over: it has no result yet", where=target, hint=hint))
        if base and orders.get("from_scratch"):
            why = "it began from scratch: before training it said nothing"
            raise BadInput(Problem("there is no base model", where="--base", why=why, hint="leave it out"))
        device = "cpu" if here.is_cpu else orders["device"]
        adapter = None if base else str(run.adapter.absolute())
        return orders | {"adapter": adapter, "device": device, "in_parts": "images" in orders}
    model = find_model(target, for_training=True)
    dtype: Dtype = "float32" if here.is_cpu else "bfloat16"
    orders = base_orders(model, to_run(model), Knobs(max_length=0, dtype=dtype), here, False)
    return orders | {"adapter": None, "in_parts": sees(orders)}


def _ask(
    orders: Orders,
    conversations: Sequence[Sequence[dict[str, Any]]],
    where: Sequence[str],
    sampling: Sampling,
    added: Sequence[int],
    batch: int = 1,
    lines: str | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> dict[str, Any]:
    asked = {"conversations": conversations, "where": where, "added": added, "batch": batch, "lines": lines}
    return worker.ask("generate", orders | asked | sampling.lower(), on_event)


def _lines_of(
    output: Path, target: str, questions: Sequence[Question], sampling: Sampling, base: bool, batch: int
) -> Path:
    """Where the answers are kept until they are whole: of the same questions, asked the same way of the same model."""
    adapter = Path(target, "adapter")
    made = [f"{file.name} {file.stat().st_mtime_ns}" for file in sorted(adapter.glob("*.safetensors"))]
    seen = [stamp for question in questions for stamp in stamps_of(question.messages)]
    said = [each.messages for each in questions]
    asked = [str(Path(target).absolute()), made, base, batch, sampling.lower(), said, *seen]
    digest = sha256(json.dumps(asked).encode()).hexdigest()[:12]
    return output.with_name(f".partial-{output.name}-{digest}")


def _base64(value: Any) -> str:
    """An image's bytes, as rows of JSON have them."""
    if not isinstance(value, bytes):
        raise TypeError(type(value))
    return base64.b64encode(value).decode()


def _refuse_model(target: str) -> None:
    if not Path(target, "plan.json").exists():
        raise BadInput(Problem("is no run: there is nothing to compare with", where=target, hint="a run folder"))
