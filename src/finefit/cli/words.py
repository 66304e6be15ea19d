"""The words of a command that Typer leaves over: what they are about, and options by name.

Typer checks the options it lists; the rest may be keys of a job (`--max-steps 3`) or old spellings (`--use-lora`),
which are known in one place only, `finefit.world.spellings`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from finefit.errors import BadInput, Problem

SETTINGS: dict[str, Any] = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "token_normalize_func": lambda option: option.replace("_", "-"),
}
"""Of commands whose words are split here: unknown options come through, `--max_length` is `--max-length`."""


SAID_ALONE = {"--packing": "--packing=true", "--no-packing": "--packing=false"}
"""Switches that have a third position: Typer's have two, or always a value."""


def with_values(words: Sequence[str]) -> list[str]:
    """Each of these switches with its value, `--packing auto` too."""
    from finefit.world.spellings import WORDS

    follows = [*(word.lower() for word in words[1:]), ""]
    alone = [after not in (*WORDS, "auto") for after in follows]
    return [SAID_ALONE.get(word, word) if is_alone else word for word, is_alone in zip(words, alone, strict=False)]


@dataclass(frozen=True)
class Words:
    about: str
    # empty where options may stand for it, and do
    options: dict[str, str]
    # by name as written, without dashes; an option that stands without a value has an empty one


def split(words: Sequence[str], about: str, instead: str = "") -> Words:
    """One word that is no option, called `about` in messages, and all options. `instead`: what options say in its
    place, where they may."""
    from finefit.world.spellings import FLAGS, WORDS

    plain: list[str] = []
    options: dict[str, str] = {}
    problems: list[Problem] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            plain.append(word)
            continue
        name, has_value, value = word.removeprefix("--").partition("=")
        if not has_value:
            is_flag = name.replace("-", "_") in FLAGS
            follows = bool(rest) and (rest[0].lower() in WORDS if is_flag else not rest[0].startswith("--"))
            value = rest.pop(0) if follows else "true" if is_flag else ""
        if name in options:
            problems.append(Problem("given twice", where=f"--{name}"))
        options[name] = value
    if plain or not (options and instead):
        problems += _not_one(plain, about, instead)
    if problems:
        raise BadInput(*problems)
    return Words(plain[0] if plain else "", options)


def _not_one(plain: list[str], about: str, instead: str) -> list[Problem]:
    if not plain:
        hint = f"{instead}; " if instead else ""
        return [Problem("is missing", where=about, hint=f"{hint}`--help` shows how the command is used")]
    return [Problem(f"unexpected word '{word}'", why=f"{about} is '{plain[0]}'") for word in plain[1:]]
