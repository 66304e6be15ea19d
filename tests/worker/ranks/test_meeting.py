"""What machines of a run tell each other of a fault."""

from __future__ import annotations

import socket
from itertools import permutations
from pathlib import Path

import pytest

from finefit.worker.ranks.meeting import ENDED, LOST, SAID, Fault, Line, Meeting

ONE, OTHER, KILLED = Fault(SAID, 5, "the disk is full"), Fault(SAID, 7, "connection closed"), Fault(ENDED, 9, "ended")


def pair() -> tuple[Meeting, Meeting]:
    here, there = socket.socketpair()
    first = Meeting(0, Path("run"), 1, (Line(1, here),))
    return first, Meeting(1, Path("run"), 1, (Line(0, there),))


def heard(machine: Meeting) -> list[str]:
    for _ in range(5):
        machine.listen()
    return [fault.text for fault in machine.faults]


def test_what_failed_is_heard_and_its_silence_afterwards_is_no_loss() -> None:
    """Also where a machine knows better later: the least is the cause."""
    first, second = pair()
    second.tell(OTHER)
    second.end(KILLED)
    assert heard(first) == ["machine 1: connection closed", "machine 1: ended"]
    assert first.end(None) == Fault(ENDED, 9, "machine 1: ended")


def test_a_machine_that_ended_well_is_not_lost() -> None:
    first, second = pair()
    assert second.end(None) is None
    assert heard(first) == []
    assert first.end(None) is None


def test_a_line_that_closes_without_a_word_is_a_machine_that_was_lost() -> None:
    first, second = pair()
    second.leave()
    assert heard(first) == ["machine 1 was lost"]


@pytest.mark.parametrize("faults", permutations((Fault(LOST, 1, "lost"), ONE, OTHER, KILLED)))
def test_the_cause_is_the_same_in_whatever_order_it_is_heard(faults: tuple[Fault, ...]) -> None:
    first, second = pair()
    first.faults += faults
    assert first.tell(None) == KILLED
    first.faults.remove(KILLED)
    assert first.end(ONE) == Fault(LOST, 1, "lost")
    assert heard(second) == ["ended", "lost"]


def test_one_machine_alone_says_nothing_of_itself() -> None:
    assert Meeting(0, Path("run"), 1).end(ONE) == ONE
