"""The verbs of `grid.py`, one function each: what is asked, and what is said."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from finefit.units import GIB
from finefit.world.gpus import machine_named

from . import predictions
from .design import all_points
from .order import ordered
from .points import Point
from .receipts import is_done, read
from .roads import Here, here
from .run import Session, run
from .seconds import learned
from .tiny import some_points


def main(description: str) -> int:
    words = _parsed(description)
    match words.verb:
        case "list":
            return _list(_place(words.device))
        case "run":
            return _run(words)
        case "status":
            return _status(words)
        case "collect":
            return _collect(words.out)
        case "predict":
            return _predict(words.fresh)
        case _:
            from .wheels import bring

            return bring(words.out)


def _parsed(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("list", "run", "status", "collect", "predict", "wheels"):
        one = verbs.add_parser(verb)
        if verb in ("run", "status", "collect", "wheels"):
            one.add_argument("--out", type=Path, required=True, help="the folder of receipts, or of wheels")
        if verb in ("list", "run", "status"):
            one.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: small models, exactly")
    verbs.choices["run"].add_argument("--minutes", type=float, default=9.0)
    verbs.choices["run"].add_argument("--ahead", type=int, default=1, help="workers that load while one measures")
    verbs.choices["run"].add_argument("--only", default="", help="points whose name has this in it")
    verbs.choices["predict"].add_argument("--fresh", action="store_true", help="all of them, not those missing")
    return parser.parse_args()


def _session(place: Here, out: Path, minutes: float, ahead: int) -> Session:
    return Session(place, out, time.monotonic() + 60 * minutes, ahead, predictions.read(), _say)


def points_for(session: Session) -> list[Point]:
    """All, cheap and telling ones first; on a processor some of each kind."""
    if session.place.machine.is_cpu:
        return some_points(all_points())
    return ordered(all_points(), session.guess)


def _place(device: str) -> Here:
    """Where no GPU is, what is said is said of the reference card."""
    place = here(device)
    if device == "cuda" and place.machine.is_cpu:
        return replace(place, machine=machine_named(predictions.REFERENCE_GPU))
    return place


def _run(words: argparse.Namespace) -> int:
    place = here(words.device)
    if words.device == "cuda" and place.machine.is_cpu:
        print("no NVIDIA GPU answers here; --device cpu runs small models instead", file=sys.stderr)
        return 2
    session = _session(place, words.out, words.minutes, words.ahead)
    run([point for point in points_for(session) if words.only in point.id], session)
    return _status(words)


def _list(place: Here) -> int:
    session = _session(place, Path(), 0, 0)
    for point in points_for(session):
        said = session.predicted.get(point.id)
        nbytes = f"{said['allocated_bytes'] / GIB:7.2f} GiB" if said else "     ?     "
        print(f"{nbytes} {session.guess(point):6.0f} s  {point.id}")
    return 0


def _status(words: argparse.Namespace) -> int:
    session = _session(_place(words.device), words.out, 0, 0)
    receipts, points = read(words.out), points_for(session)
    measured = [one for one in receipts.values() if "measured" in one]
    left = [point for point in points if not is_done(receipts.get(point.id)) and point.id not in receipts]
    minutes = sum(map(session.guess, left)) * learned(measured) / 60
    skipped = Counter(one["skipped"].split(":")[0] for one in receipts.values() if "skipped" in one)
    failed = [f"{one['id']}: {one['failed']}" for one in receipts.values() if "failed" in one]
    print(f"{len(points)} points: {len(measured)} measured, {len(failed)} failed, {skipped.total()} skipped, ", end="")
    print(f"{len(left)} left, about {minutes:.0f} minutes")
    for reason, count in skipped.items():
        print(f"  skipped {count}: {reason}")
    for line in failed:
        print(f"  failed {line}")
    return 0


def _collect(folder: Path) -> int:
    from .collect import collect

    for path in collect(folder):
        _say(str(path))
    return 0


def _predict(fresh: bool) -> int:
    """Writes after every point, so that what was computed is kept."""
    from .predict import predicted

    machine, points = machine_named(predictions.REFERENCE_GPU), all_points()
    known = {} if fresh else predictions.read()
    rows = {point.id: known[point.id] for point in points if point.id in known}
    for point in points:
        if point.id not in rows:
            found = predicted(point, machine)
            stack = found.pop("stack")
            rows[point.id] = found
            predictions.keep(rows, stack)
            _say(f"{len(rows)}/{len(points)} {found['allocated_bytes'] / GIB:.2f} GiB {point.id}")
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
