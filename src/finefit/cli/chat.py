"""`finefit chat`: a conversation with a run's model, or with any.

A line is what the user says. At a terminal the answer appears as it is written; where lines come from a pipe, the same
happens without a word beside the answers.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finefit.errors import BadInput
from finefit.nouns.sampling import Sampling

from .sampling import Base, MaxNewTokens, Penalty, Seed, TopK, TopP, drawn

if TYPE_CHECKING:
    from finefit.api.showing import Chat

HELP = "/image FILE shows it with what you say next · /reset forgets all · /exit leaves · Ctrl-C ends an answer"
IMAGE = "/image "


def command(
    target: Annotated[str, typer.Argument(metavar="RUN|MODEL", help="A run folder, or a model.", show_default=False)],
    *,
    max_new_tokens: MaxNewTokens = 256,
    temperature: Annotated[
        float | None,
        typer.Option(metavar="T", min=0, help="0: the likeliest token.  [default: the model's]", show_default=False),
    ] = None,
    top_p: TopP = None,
    top_k: TopK = None,
    repetition_penalty: Penalty = None,
    seed: Seed = 0,
    base: Base = False,
    as_json: Annotated[bool, typer.Option("--json", help="All turns at the end, one JSON object on stdout.")] = False,
) -> None:
    """Talk with a model, with the adapter of a run. /reset forgets, /exit leaves, Ctrl-C ends an answer.

    A model that sees is shown images: a line `/image FILE` before what you say, or several.
    """
    from finefit import api
    from finefit.show import json, live

    sampling = drawn(Sampling(max_new_tokens, temperature, top_p, top_k, repetition_penalty, seed))
    turns: list[dict[str, Any]] = []
    with ExitStack() as leaving:
        with live.working() as say:
            say("loading the model")
            session = leaving.enter_context(api.chat(target, base, sampling))
        _say(HELP)
        shown: list[str] = []
        for line in _lines():
            if line == "/exit":
                break
            turns += _turn(session, line, shown, _silent if as_json else _write)
    if as_json:
        json.write({"target": target, "base": base, "turns": turns})


def _turn(session: Chat, line: str, shown: list[str], write: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """One line of the user; nothing comes of what cannot be answered. `shown`: the images of what is said next."""
    if line == "/reset":
        session.reset()
        shown.clear()
        _say("forgotten")
        return
    if line.startswith(IMAGE):
        _attach(session, line.removeprefix(IMAGE).strip(), shown)
        return
    if line.startswith("/"):
        _say(HELP)
        return
    try:
        with _interrupts(session.stop):
            answer = session.say(line, write)
    except BadInput as error:
        shown.clear()
        _say("\n".join(str(problem) for problem in error.problems))
        return
    write("\n")
    images = {"images": list(shown)} if shown else {}
    shown.clear()
    yield {
        "prompt": line,
        **images,
        "answer": answer.text,
        "tokens": answer.tokens,
        "seconds": answer.seconds,
        "stopped": answer.was_stopped,
    }


def _attach(session: Chat, path: str, shown: list[str]) -> None:
    """At a terminal a file that cannot be shown is told; from a pipe it ends all, for the next line is about it."""
    try:
        width, height = session.attach(path)
    except BadInput as error:
        if not sys.stdin.isatty():
            raise
        _say("\n".join(str(problem) for problem in error.problems))
        return
    shown.append(path)
    _say(f"{path}, {width} × {height}: shown with what you say next")


def _lines() -> Iterator[str]:
    """What the user says; Ctrl-C at the prompt gives up the line, the end of the input leaves."""
    while True:
        try:
            line = input("> ") if sys.stdin.isatty() and sys.stderr.isatty() else sys.stdin.readline()
        except EOFError:
            return
        except KeyboardInterrupt:
            if not sys.stdin.isatty():
                raise
            _say("\n" + HELP)
            continue
        if not line and not sys.stdin.isatty():
            return
        if line.strip():
            yield line.strip()


@contextmanager
def _interrupts(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C calls `stop`; a second one ends the program."""

    def handle(_number: int, _frame: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _silent(_text: str) -> None:
    """JSON stands alone on stdout."""


def _say(text: str) -> None:
    if sys.stdin.isatty():
        print(text, file=sys.stderr)
