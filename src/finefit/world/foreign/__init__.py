"""Configurations of other tools as jobs: what means the same here, with the defaults that it has there, and what could
not be taken over. A tool is a file with a table of its keys.

What a plan decides (how a batch is divided, what is checkpointed, attention kernels, engines) is left to the plan.
Knows: a key's name there and here. Does not know: prompts that a tool writes by itself; the model's own chat template
writes the rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finefit.errors import BadInput, Problem
from finefit.world.entries import Entry, from_file

from .axolotl import AXOLOTL
from .llamafactory import LLAMA_FACTORY
from .tool import Left, Tool, Wrong
from .trl import TRL

TOOLS: tuple[Tool, ...] = (AXOLOTL, LLAMA_FACTORY, TRL)
"""The first whose keys a file has."""


@dataclass(frozen=True)
class Translated:
    entries: tuple[Entry, ...]
    # in a job's keys, or near ones
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]


def translated(path: Path, gpus: int, settled: Collection[str] = ()) -> Translated:
    """`gpus`: that share the batch; `settled`: a job's keys that are said elsewhere. Raises `BadInput`."""
    given = {entry.key: entry for entry in from_file(path)}
    tool = next((tool for tool in TOOLS if tool.marks & given.keys()), None)
    if tool is None:
        names = ", ".join(tool.name for tool in TOOLS)
        hint = "without --from, where it is a job of finefit's own"
        raise BadInput(Problem(f"is no configuration of {names}", where=str(path), hint=hint))
    read: dict[str, Entry] = {}
    notes = [f"{path}: read as a configuration of {tool.name}"]
    problems: list[Problem] = []
    for entry in tool.joined(given).values():
        for found in _found(tool, entry):
            match found:
                case Entry() if found.key in settled:
                    continue
                case Entry():
                    read[found.key] = found
                    notes += [f"{entry.where}: read as {found.key} {found.value}"] if _is_other(entry, found) else []
                case Left(why):
                    notes.append(f"{entry.where}: not taken over: {why}")
                case Wrong(what, hint):
                    problems.append(Problem(what, where=entry.where, hint=hint))
    for key, value in _unsaid(tool, given, read, gpus).items():
        if key not in settled:
            read[key] = Entry(key, key, value, f"{path}: {key}", path.parent)
            notes.append(f"{path}: {key} {value}, as {tool.name} has it")
    return Translated(tuple(read.values()), tuple(notes), tuple(problems))


def _found(tool: Tool, entry: Entry) -> Iterable[Entry | Left | Wrong]:
    if entry.value is None:  # as if it were not there
        return ()
    rule = tool.rules.get(entry.key)
    return (Left(f"finefit does not know this key of {tool.name}"),) if rule is None else rule(entry)


def _is_other(entry: Entry, found: Entry) -> bool:
    return (entry.key, entry.value) != (found.key, found.value)


def _unsaid(tool: Tool, given: Mapping[str, Entry], read: Mapping[str, Entry], gpus: int) -> dict[str, Any]:
    """What the tool does where its file says nothing, and the batch of one step."""
    said = {key: entry.value for key, entry in given.items() if entry.value is not None}
    added = {key: value for key, value in tool.unsaid(said, read).items() if key not in read}
    batch = tool.batch(said)
    if isinstance(batch, int) and batch > 0:
        added["global_batch_size"] = batch * gpus
    return added
