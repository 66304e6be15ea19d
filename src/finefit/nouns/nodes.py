"""The machines of one run, as each of them is told in its environment by whoever starts it there.

The words are torchrun's and its launchers': NNODES, NODE_RANK, MASTER_ADDR, MASTER_PORT. Knows: how they are read. Does
not know: Slurm's, SkyPilot's and dstack's own words for them, which a launch file puts into these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from finefit.errors import BadInput, Problem

PORT = 29500
"""torchrun's."""


@dataclass(frozen=True)
class Nodes:
    count: int = 1
    number: int = 0
    # of this one
    address: str = "127.0.0.1"
    # of the first
    port: int = PORT
    # where the first one hears the others

    @property
    def is_first(self) -> bool:
        return self.number == 0

    def share(self, ranks: int) -> range:
        """Those of a run that are this machine's. Raises `BadInput`."""
        each, rest = divmod(ranks, self.count)
        if rest or not each:
            why = "each machine runs as many ranks as the others"
            raise BadInput(Problem(f"{ranks} are not divided by {self.count} machines", "gpu", why, "a multiple of it"))
        return range(self.number * each, (self.number + 1) * each)


def nodes_of(environment: Mapping[str, str]) -> Nodes:
    """One alone where nothing is said of several. Raises `BadInput` with all that is wrong."""
    if environment.get("NNODES", "1").strip() == "1":
        return Nodes()
    problems = list(_problems(environment))
    if problems:
        raise BadInput(*problems)
    return Nodes(
        int(environment["NNODES"]),
        int(environment["NODE_RANK"]),
        environment["MASTER_ADDR"].strip(),
        int(environment.get("MASTER_PORT", PORT)),
    )


def _problems(environment: Mapping[str, str]) -> Iterator[Problem]:
    count = environment["NNODES"]
    if not _is_number(count, 1, 1 << 16):
        yield Problem(f"'{count}' is no number of machines", where="NNODES", hint="1, or unset, for one")
    elif not _is_number(environment.get("NODE_RANK", ""), 0, int(count) - 1):
        why = f"NNODES says {count} machines, and each has a number of its own"
        yield Problem("which of them this is, is not said", "NODE_RANK", why, f"0 for the first, to {int(count) - 1}")
    if not environment.get("MASTER_ADDR", "").strip():
        why = "the other machines find the first one there"
        yield Problem("the first machine's address is not said", "MASTER_ADDR", why, "its host name, on all of them")
    if not _is_number(environment.get("MASTER_PORT", str(PORT)), 1, 65535):
        yield Problem(f"'{environment['MASTER_PORT']}' is no port", where="MASTER_PORT", hint=str(PORT))


def _is_number(text: str, least: int, most: int) -> bool:
    return text.strip().isdecimal() and least <= int(text) <= most
