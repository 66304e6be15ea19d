"""Model configurations that ship with the package: no weights, no tokenizer. models.csv has a source for each."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from finefit.nouns.model import Model


@dataclass(frozen=True)
class Row:
    name: str
    # hub id
    aliases: tuple[str, ...]
    file: str
    parameters: int
    # as transformers builds it, tied weights once; models.csv says who publishes it, or why a published figure differs

    @property
    def words(self) -> Iterator[str]:
        """Every name that means this row, in lower case: the full ids first, then the parts after their slashes."""
        full = [word.lower() for word in (self.name, *self.aliases)]
        yield from full
        yield from (word.rpartition("/")[2] for word in full if "/" in word)

    def meant_by(self, word: str) -> str:
        """The hub id that one of `words` stands for: a tuned variant has weights of its own."""
        full = {id.lower(): id for id in (self.name, *self.aliases)}
        tails = {id.lower().rpartition("/")[2]: id for id in reversed((self.name, *self.aliases)) if "/" in id}
        meant = full.get(word) or tails[word]
        return meant if "/" in meant else self.name


@cache
def rows() -> tuple[Row, ...]:
    text = (files("finefit.catalog") / "models.csv").read_text(encoding="utf-8")
    return tuple(
        Row(cells["name"], tuple(cells["aliases"].split()), cells["file"], int(cells["parameters"]))
        for cells in csv.DictReader(text.splitlines())
    )


def model_named(text: str) -> Model | None:
    """The bundled model of that hub id, alias, or part after the slash; in any case of letters."""
    wanted = text.strip().lower()
    row = next((row for row in rows() if wanted in row.words), None)
    return None if row is None else _model(row, row.meant_by(wanted))


def names() -> tuple[str, ...]:
    """Every word that `model_named` answers to, hub ids as they are written."""
    return tuple(word for row in rows() for word in (row.name, *row.aliases))


def _model(row: Row, id: str) -> Model:
    text = (files("finefit.catalog") / "models" / row.file).read_text(encoding="utf-8")
    return Model(id=id, config=json.loads(text), source=f"bundled {row.file}")
