"""How commands end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import finefit
from finefit import __version__
from finefit.errors import BadInput, Interrupted, Problem, RunFailed

from .conftest import Cli


def process(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Python as a user's shell starts it."""
    source = str(Path(finefit.__file__).parent.parent)
    path = os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, check=False)


START = "from finefit.cli.main import main; main()"


def test_a_process_ends_with_the_code_of_its_command() -> None:
    """What `finefit` itself returns to a shell."""
    done = process(START, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"finefit {__version__}\n", "")
    wrong = process(START, "estimat")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "Did you mean 'estimate'?" in wrong.stderr


def test_help_imports_nothing_heavy() -> None:
    """`--help` answers at once: what a command needs is imported when it is called."""
    heavy = ("pydantic", "numpy", "pynvml", "yaml", "rich", "torch", "huggingface_hub")
    found = process(f"import sys, finefit.cli.main; print([m for m in {heavy} if m in sys.modules])")
    assert found.stdout == "[]\n", found.stderr


def test_an_estimate_imports_no_more_than_it_needs() -> None:
    """Nor what a plan, a run or a receipt is, which would be half of all that it imports."""
    libraries = ("pydantic", "torch", "numpy", "yaml")
    needless = (*libraries, "finefit.nouns.plan", "finefit.nouns.receipt", "finefit.world.rows")
    asks = (
        "import sys; from finefit.cli.main import run; "
        "assert run(['estimate', 'llama-3.2-1b', '--gpu', 'L4', '--max-length', '512']) == 0; "
        f"print([m for m in {needless} if m in sys.modules], file=sys.stderr)"
    )
    found = process(asks)
    assert found.stderr == "[]\n", found.stderr


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_help_lists_every_command(cli: Cli, words: tuple[str, ...]) -> None:
    """No words are a question too."""
    said = cli(*words)
    assert said.code == 0
    assert all(name in said.out for name in ("estimate", "train", "receipt", "generate", "prices"))


@pytest.mark.parametrize("command", ["estimate", "train", "receipt", "generate", "prices"])
def test_every_command_has_help_and_json(cli: Cli, command: str) -> None:
    """`--json` is on every command."""
    said = cli(command, "--help")
    assert said.code == 0
    assert "--json" in said.out


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("estimat",), "Did you mean 'estimate'?"),
        (("xyz",), "No such command 'xyz'"),
        (("--nope",), "No such option: --nope"),
        (("receipt",), "Missing argument 'RUN'"),
        (("receipt", "a", "b"), "unexpected extra argument"),
        (("receipt", "a", "--jsn"), "--json"),
        (("generate", "a"), "nothing is asked"),
        (("generate", "a", "--prompt", "b", "--max-new-tokens", "0"), "--max-new-tokens"),
        (("estimate",), "Missing argument 'MODEL'"),
        (("estimate", "--gpu", "T4"), "MODEL"),
        (("estimate", "a", "b"), "unexpected word 'b'"),
        (("estimate", "gpt2", "--max-length"), "--max-length"),
        (("estimate", "gpt2", "--foo"), "--foo: unknown option"),
        (("train",), "JOB.yaml: is missing\n      try: its keys as options: --model, --data;"),
        (("train", "--model", "gpt2"), "--data: is missing"),
        (("train", "--resume"), "RUN: is missing\n      try: `--help`"),
        (("train", "a.yaml", "b.yaml"), "unexpected word 'b.yaml'"),
        (("train", "nowhere.yaml"), "nowhere.yaml: cannot be read"),
        (("train", "run", "--resume", "--seed", "3"), "--seed: means nothing with --resume"),
    ],
)
def test_wrong_words_end_with_two_and_say_what_is_meant(cli: Cli, words: tuple[str, ...], fragment: str) -> None:
    """Nothing is on stdout, nothing is left behind, and the near word is named."""
    said = cli(*words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("finefit: ")
    assert fragment in said.err
    assert list(cli.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code", "fragment"),
    [
        (
            BadInput(Problem("a", "x:1"), Problem("b", hint="c")),
            2,
            "2 problems with the input\n  x:1: a\n  b\n      try: c",
        ),
        (RunFailed("the worker died", "worker.log"), 1, "the worker died\n    log: worker.log"),
        (Interrupted("stopped; go on with --resume"), 1, "go on with --resume"),
        (KeyboardInterrupt(), 1, "interrupted"),
        (PermissionError(13, "Permission denied", "runs"), 1, "Permission denied"),
        (ZeroDivisionError("by zero"), 1, "FINEFIT_DEBUG=1"),
    ],
)
def test_whatever_goes_wrong_has_a_code_and_no_traceback(
    cli: Cli, error: BaseException, code: int, fragment: str
) -> None:
    """Bad input is 2; everything that failed on the way is 1."""
    cli.api.failure = error
    said = cli("receipt", "run")
    assert (said.code, said.out) == (code, "")
    assert fragment in said.err


def test_debugging_shows_the_traceback(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """FINEFIT_DEBUG lets the error through."""
    monkeypatch.setenv("FINEFIT_DEBUG", "1")
    cli.api.failure = RunFailed("died")
    with pytest.raises(RunFailed):
        cli("receipt", "run")
