"""The page of gains, against what it is made of."""

from __future__ import annotations

from pathlib import Path

import gains
import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "gains.md").read_text(encoding="utf-8")


@pytest.mark.wide(1)
@pytest.mark.parametrize("place", [13, 30, 47])
def test_a_line_of_the_page_is_what_a_plan_says_today(place: int) -> None:
    job = list(gains.jobs())[place]
    assert gains._line(gains.compared(job)) in PAGE.splitlines()


def test_every_card_model_method_and_length_is_there() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("| RTX")]
    assert len(lines) == len(list(gains.jobs())) == 54
