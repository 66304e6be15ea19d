"""Answers, as people read them."""

from __future__ import annotations

import pytest

from finefit.show import answers


def test_answers_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """One answer is the output alone; several stand under their prompts, before and after side by side."""
    answers.show(["a"], ["[red]x[/red]\ny"])
    assert capsys.readouterr().out == "[red]x[/red]\ny\n"
    answers.show(["a", "b"], ["1", "2"])
    assert capsys.readouterr().out.split() == ["a", "1", "b", "2"]
    answers.show(["a"], ["new"], ["old"])
    assert capsys.readouterr().out.split() == ["before:", "old", "after:", "new"]
