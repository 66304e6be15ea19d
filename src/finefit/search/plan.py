"""The fastest recipe of a job that fits its machine, those behind it, and why the others are passed over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from finefit.nouns.engine import words_of
from finefit.nouns.job import Job
from finefit.nouns.method import Method, name_of
from finefit.nouns.planned import Candidate, Family, PassedOver, Weighed
from finefit.units import human_bytes

from .fastest import Search, choose_of, families, order

RUNNERS_UP = 3
Candidates = Callable[[Job, Method], list[Candidate]]


@dataclass(frozen=True)
class Group:
    """What is searched together: a method, with engines that hold as much on the GPUs."""

    method: Method
    where: str
    jobs: tuple[Job, ...]


@dataclass
class Answer:
    best: Candidate | None = None
    alternatives: tuple[Weighed, ...] = ()
    passed_over: list[PassedOver] = field(default_factory=list)
    nearest: Candidate | None = None
    among: tuple[Candidate, ...] = ()
    # what was weighed together with the best
    weighed: int = 0


def search_plan(groups: Iterable[Group], known: Candidates, others: Candidates, search: Search) -> Answer:
    """Of the first group of which any recipe fits. `others` cost minutes: smaller micro-batches, which are faster
    only where they recompute less, so they are asked for where none that is `known` fits without recomputing."""
    answer = Answer()
    for group in groups:
        found = _of(group, known)
        answer.best = choose_of(found, search)
        if answer.best is None or answer.best.knobs.gradient_checkpointing != 0:
            found += _of(group, others)
            answer.best = choose_of(found, search)
        answer.weighed += len(found)
        if answer.best is not None:
            answer.among = tuple(found)
            answer.alternatives = tuple(_behind(found, answer.best, search))
            answer.passed_over += _others(found, answer.best, search)
            break
        answer.passed_over.append(_too_large(group, found, search.limit_bytes))
        answer.nearest = min([one for one in (answer.nearest, *found) if one], key=_size, default=None)
    return answer


def _of(group: Group, candidates: Candidates) -> list[Candidate]:
    return [one for job in group.jobs for one in candidates(job, group.method)]


def _size(candidate: Candidate) -> int:
    return candidate.peak_bytes


def _behind(found: Sequence[Candidate], best: Candidate, search: Search) -> Iterator[Weighed]:
    """The fastest of other families that seem to fit; where these are few, the choice with more layers checkpointed."""
    of = families(found)
    rest = [_fitting(members, search) for family, members in of.items() if family != best.family]
    ahead = sorted((min(members, key=order) for members in rest if members), key=order)
    slower = [one for one in reversed(of[best.family]) if order(one) > order(best)]
    for one in [*ahead, *slower][:RUNNERS_UP]:
        yield search.weighed(one)


def _fitting(members: Sequence[Candidate], search: Search) -> list[Candidate]:
    return [one for one in members if search.seems_to_fit(one)]


def _others(found: Sequence[Candidate], best: Candidate, search: Search) -> Iterator[PassedOver]:
    """One line for each family but the choice's."""
    for family, members in families(found).items():
        if family == best.family:
            continue
        fitting = _fitting(members, search)
        if not fitting:
            yield PassedOver(words(family), _lacks(members, search.limit_bytes))
            continue
        fastest = min(fitting, key=order)
        rate, slower = fastest.tokens_per_second, fastest.seconds_per_token / best.seconds_per_token - 1
        what = f"fits with {_checkpointed(fastest)}: {rate:,.0f} tokens/s"
        yield PassedOver(words(family), f"{what}, {100 * slower:.0f} % longer a step")


def _too_large(group: Group, found: Sequence[Candidate], limit: int) -> PassedOver:
    why = _lacks(found, limit) if found else "no tape knows it, or a few layers do not stand for all"
    return PassedOver(f"{name_of(group.method)}, {group.where}", why)


def _lacks(members: Sequence[Candidate], limit: int) -> str:
    least = min(members, key=_size)
    about = "" if least.least_bytes == least.peak_bytes else "about "
    what = f"{about}{human_bytes(least.peak_bytes)} allocated at least, with {_checkpointed(least)}"
    return f"{what}; {human_bytes(limit)} are there" if least.peak_bytes >= limit else f"{what}, and the rest beside it"


def _checkpointed(candidate: Candidate) -> str:
    match candidate.knobs.gradient_checkpointing:
        case "all":
            return "every layer checkpointed"
        case 0:
            return "no layer checkpointed"
        case count:
            return f"{count} layers checkpointed"


def recipe_words(candidate: Candidate) -> str:
    return f"{words(candidate.family)}, {_checkpointed(candidate)}"


def words(family: Family) -> str:
    engine = "" if family.engine is None else f", {words_of(family.engine)}"
    packed = ", packed" if family.packing else ""
    return f"{family.method}, micro-batch {family.micro_batch}{packed}{engine}"
