"""`finefit`: every command, and how it ends. Exit codes: 0 done, 1 failed while running, 2 bad input, 3 does not fit.

Importing this must stay cheap (`--help` answers at once): commands import what they need when they are called.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from finefit import __version__
from finefit.errors import BadInput, FinefitError, nearest

from . import calibrate, chat, data, estimate, export, generate, guide, launch, matrix, plan, prices, receipt, train
from .words import SETTINGS, with_values

UNDERSCORES = {"token_normalize_func": SETTINGS["token_normalize_func"]}
COMMANDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "estimate": (estimate.command, SETTINGS),
    "plan": (plan.command, SETTINGS),
    "launch": (launch.command, {}),
    "guide": (guide.command, SETTINGS),
    "matrix": (matrix.command, SETTINGS),
    "data": (data.command, {}),
    "train": (train.command, SETTINGS),
    "receipt": (receipt.command, {}),
    "generate": (generate.command, UNDERSCORES),
    "chat": (chat.command, UNDERSCORES),
    "export": (export.command, UNDERSCORES),
    "prices": (prices.command, {}),
    "calibrate": (calibrate.command, {}),
}

UsageError: Any = typer.BadParameter.__bases__[0]
"""What Typer raises for wrong words; the class itself has moved between its versions."""

INTERRUPTED = 130
"""What Typer returns after Ctrl-C where it catches it first."""


def _version(wanted: bool) -> None:
    if wanted:
        print(f"finefit {__version__}")
        raise typer.Exit()


def _finefit(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Fine-tune on the GPU you have, with the memory known before the run: plan, train, receipt."""


def _app(words: Sequence[str]) -> typer.Typer:
    """All commands; where one is named, it alone: to go through the options of all is a 20th of an estimate."""
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,  # plain help has room for the whole of our options' names
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_finefit)
    for name in COMMANDS.keys() & words[:1] or COMMANDS:
        command, settings = COMMANDS[name]
        app.command(name, context_settings=settings)(command)
    return app


BRIEF = {"estimate", "plan", "launch", "guide", "matrix", "prices", "receipt"}
"""Commands that compute and end: what they make is numbers by the hundred thousand, and nearly nothing of it goes round
in circles. To look for those took 6 % of a plan, and as Python ends, a 15th of an estimate (`docs/log.md`)."""


def main() -> None:
    is_brief = bool(BRIEF & set(sys.argv[1:2]))
    if is_brief:
        gc.disable()
    code = run(sys.argv[1:])
    if is_brief:
        gc.freeze()
    sys.exit(code)


def run(words: Sequence[str]) -> int:
    """One command line to its end; returns the exit code. No traceback unless FINEFIT_DEBUG is set."""
    try:
        code = _app(words)(args=with_values(words) or ["--help"], prog_name="finefit", standalone_mode=False)
    except Exception as error:
        if os.environ.get("FINEFIT_DEBUG"):
            raise
        _say(_words_of(error))
        return int(getattr(error, "exit_code", 1))
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        _say("interrupted")
        return 1
    return code if isinstance(code, int) else 0


def _say(text: str) -> None:
    print(f"finefit: {text}", file=sys.stderr)


def _words_of(error: Exception) -> str:
    match error:
        case BadInput():
            return _problems(error)
        case FinefitError() | OSError():
            return str(error)
        case typer.Abort():
            return "interrupted"
        case _ if isinstance(error, UsageError):
            return _usage(error)
    return f"a mistake of finefit itself: {type(error).__name__}: {error}\n  FINEFIT_DEBUG=1 shows where"


def _problems(error: BadInput) -> str:
    count = len(error.problems)
    lines = "\n".join(str(problem) for problem in error.problems).replace("\n", "\n  ")
    return f"{count} problem{'s' if count > 1 else ''} with the input\n  {lines}"


def _usage(error: Any) -> str:
    text = error.format_message() or str(error)
    unknown = text.split("'")[1] if text.startswith("No such command") else ""
    hint = nearest(unknown, COMMANDS) if unknown and "mean" not in text else ""
    command = error.ctx.command_path if error.ctx else "finefit"
    return f"{text}{' ' + hint if hint else ''}\n  `{command} --help` shows how it is used"
