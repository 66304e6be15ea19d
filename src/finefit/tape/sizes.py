"""How many bytes a storage has at any micro-batch B, length S and adapter rank r, from what it had at a few.

A size is a whole multiple of one ruler, or a sum of two: with a ruler's values at the recorded points, the multiple is
the same at all of them, or the ruler is not the one. Nothing is fitted by least squares and nothing is near enough: a
size that no ruler measures exactly has no formula. Where the recorded points do not tell two rulers apart (all of one
length, say), both are formulas, and the size is known only where they agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

CHUNK_TOKENS = 4096
"""Trained tokens that TRL's fused head takes at a time (trl.kernels.chunked_logprob.TOKEN_CHUNK_SIZE, TRL 1.16). One
chunk, two, and three may be three histories; the chunks between the second and the last do what the second does, and
leave a few numbers a token."""

DOCUMENTS = 2
"""That share a recorded sequence. More of them change the list of their ends, and train a token less each, which shows
where a sequence has less than a chunk."""


@dataclass(frozen=True)
class Point:
    """Where a step was recorded, or is asked for."""

    batch: int
    # rows of one micro-batch
    length: int
    # tokens of each
    rank: int = 0
    # of the adapters; 0 where there are none
    new: int = 0
    # tokens that are written after them, where sizes depend on how many there will be; 0 elsewhere
    sequences: int = 1
    # of a row: a preference has two, the second one token shorter, and padded
    documents: int = 1
    # that share a sequence: the first token of each is not trained

    @property
    def tokens(self) -> int:
        return self.batch * self.sequences * self.length

    @property
    def trained_tokens(self) -> int:
        """Labels are shifted by one, so a sequence's last token predicts nothing."""
        first = self.documents - 1
        return self.batch * (self.sequences * self.length - 2 * self.sequences + 1 - first)

    @property
    def chunks(self) -> int:
        return -(-self.trained_tokens // CHUNK_TOKENS)


def _padded(length: int, to: int) -> int:
    return -(-length // to) * to


RULERS: Mapping[str, Callable[[Point], int]] = {
    "1": lambda p: 1,
    "B": lambda p: p.batch,
    "S": lambda p: p.length,
    "BS": lambda p: p.batch * p.length,
    "S²": lambda p: p.length**2,
    "BS²": lambda p: p.batch * p.length**2,
    "r": lambda p: p.rank,
    "BSr": lambda p: p.batch * p.length * p.rank,
    "trained": lambda p: p.trained_tokens,
    "chunk": lambda p: min(p.trained_tokens, CHUNK_TOKENS),
    "last chunk": lambda p: (p.trained_tokens - 1) % CHUNK_TOKENS + 1,
    "S·S16": lambda p: p.length * _padded(p.length, 16),
    # rows of a mask that a kernel pads
    "BS·S16": lambda p: p.batch * p.length * _padded(p.length, 16),
    "B·S32": lambda p: p.batch * _padded(p.length, 32),
    # the memory-efficient kernel's logsumexp
    "B·S64": lambda p: p.batch * _padded(p.length, 64),
    "B·S128": lambda p: p.batch * _padded(p.length, 128),
    # rows that attention kernels pad backward
    "BS÷10": lambda p: p.tokens // 10,
    # what an embedding's gradient adds up at a time
}
"""Tried in this order, after them the parts of adapters."""

WRITTEN: Mapping[str, Callable[[Point], int]] = {
    "N": lambda p: p.new,
    "BN": lambda p: p.batch * p.new,
    "S+N": lambda p: p.length + p.new,
    "B·(S+N)": lambda p: p.batch * (p.length + p.new),
    # beams, and a static cache, as long as the whole answer
    "S·(S+N)": lambda p: p.length * (p.length + p.new),
    "BS·(S+N)": lambda p: p.batch * p.length * (p.length + p.new),
    # the mask of a prompt that is read into a static cache
}
"""Tried as well where it is known how many tokens will be written."""

PAIRED: Mapping[str, Callable[[Point], int]] = {
    "B·(S-1)": lambda p: p.batch * (p.length - 1),
    "B·(S-2)": lambda p: p.batch * (p.length - 2),
    # tokens that the first answers have to predict, and the second ones
}
"""Tried as well where a row is two sequences."""

NORM_ELEMENTS = 65_536
"""Of a tensor, that the multi-tensor norm adds up at a time (`worker/rules/kernels.py`)."""

Values = Mapping[str, int]
"""Of every ruler at one point."""


def rulers_at(point: Point, widths: Sequence[int] = ()) -> Values:
    """`widths`: of the matrices that adapters stand beside; how many parts the norm of one has, goes by its rank."""
    rulers = {**RULERS, **(WRITTEN if point.new else {}), **(PAIRED if point.sequences > 1 else {})}
    values = {name: ruler(point) for name, ruler in rulers.items()}
    return values | {f"r·{width}÷65536": -(-point.rank * width // NORM_ELEMENTS) for width in widths}


@dataclass(frozen=True)
class Formula:
    terms: tuple[tuple[int, str], ...]
    # (bytes, ruler)

    def at(self, values: Values) -> int:
        return sum(nbytes * values[ruler] for nbytes, ruler in self.terms)

    @property
    def ruler(self) -> str | None:
        """The only one, where it is."""
        return self.terms[0][1] if len(self.terms) == 1 else None


Formulas = tuple[Formula, ...]
"""All that are right for one row at every recorded point."""


def value_at(formulas: Formulas, values: Values) -> int | None:
    """What all of them say; None where they differ."""
    found = {formula.at(values) for formula in formulas}
    return found.pop() if len(found) == 1 else None


def formulas_of(
    rows: Iterable[Sequence[int]], points: Sequence[Point], widths: Sequence[int] = ()
) -> tuple[Formulas, ...] | None:
    """Of each row, which has a storage's bytes at each of the points; None where a row has none."""
    values = [rulers_at(point, widths) for point in points]
    found = tuple(_singles(row, values) or _pairs(row, values) for row in rows)
    return found if all(found) else None


def _singles(row: Sequence[int], values: Sequence[Values]) -> Formulas:
    found = []
    for ruler in values[0]:
        if not values[0][ruler]:
            continue
        multiple, rest = divmod(row[0], values[0][ruler])
        if not rest and all(size == multiple * each[ruler] for size, each in zip(row, values, strict=True)):
            found.append(Formula(((multiple, ruler),)))
    return tuple(found)


def _pairs(row: Sequence[int], values: Sequence[Values]) -> Formulas:
    """Two multiples are solved from two points, so at least one other must agree."""
    if len(row) < 3:
        return ()
    found = []
    named = RULERS.keys() | WRITTEN.keys() | PAIRED.keys()
    for one, other in combinations([name for name in values[0] if name in named], 2):
        formula = _solved(row, [(each[one], each[other]) for each in values], (one, other))
        if formula and all(formula.at(each) == size for each, size in zip(values, row, strict=True)):
            found.append(formula)
    return tuple(found)


def _solved(row: Sequence[int], lengths: Sequence[tuple[int, int]], names: tuple[str, str]) -> Formula | None:
    """From the first two points at which the rulers' lengths are not in proportion."""
    for (size, (a, b)), (other, (c, d)) in combinations(zip(row, lengths, strict=True), 2):
        determinant = a * d - b * c
        if determinant:
            first, rest = divmod(size * d - other * b, determinant)
            second, rest_too = divmod(other * a - size * c, determinant)
            return None if rest or rest_too else Formula(((first, names[0]), (second, names[1])))
    return None
