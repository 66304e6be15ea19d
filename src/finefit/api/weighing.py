"""A job's recipes, each weighed: those that tapes know, before those that take minutes of rehearsing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from finefit.nouns.job import Job
from finefit.nouns.machine import Machine
from finefit.nouns.method import Method
from finefit.nouns.model import Model
from finefit.nouns.planned import Candidate
from finefit.nouns.workload import Lengths
from finefit.rehearsal.few import Rehearsals
from finefit.search.candidates import Asked, candidates
from finefit.search.packing import ways


@dataclass
class Recipes:
    """Of a model on a machine. Without `builds` nothing is rehearsed."""

    model: Model
    machine: Machine
    lengths: Lengths | None
    # of the job's own rows
    rehearsals: Rehearsals
    limit_bytes: int
    builds: bool
    _left: dict[tuple[Job, Method], set[int]] = field(default_factory=dict)
    # micro-batches that tapes do not know, of jobs of which they know others

    def known(self, wished: Job, method: Method) -> list[Candidate]:
        """Of tapes, as long as no tape lacks."""
        found = []
        for asked in self._asked(wished, method):
            some = self._weighed(asked, builds=False)
            if self.rehearsals.lacks_tapes or not some:
                some = self._weighed(asked, self.builds)
            elif self.rehearsals.unknown:
                self._left.setdefault((wished, method), set()).update(self.rehearsals.unknown)
            found += some
        return found

    def others(self, wished: Job, method: Method) -> list[Candidate]:
        """What was left, rehearsed."""
        sizes = self._left.pop((wished, method), set()) if self.builds else set()
        if not sizes:
            return []
        every = (one for asked in self._asked(wished, method) for one in self._weighed(asked, builds=True))
        return [one for one in every if one.family.micro_batch in sizes]

    def told(self, wished: Job, method: Method) -> list[Candidate]:
        """Of tapes alone."""
        return [one for asked in self._asked(wished, method) for one in self._weighed(asked, builds=False)]

    def left(self) -> tuple[str, ...]:
        sizes = ", ".join(map(str, sorted({size for each in self._left.values() for size in each})))
        pin = "`per_device_train_batch_size` pins one, and rehearses it"
        return (f"not weighed, since no tape tells of them: micro-batch {sizes}; {pin}",) if sizes else ()

    def _asked(self, wished: Job, method: Method) -> Iterator[Asked]:
        for way in ways(wished, self.model, self.lengths):
            yield Asked(way, method, self.model, self.machine, self.lengths)

    def _weighed(self, asked: Asked, builds: bool) -> list[Candidate]:
        self.rehearsals.begin(rehearses=builds)
        return list(candidates(asked, self.rehearsals, self.limit_bytes))
