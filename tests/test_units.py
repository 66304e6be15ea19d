"""Figures as people read them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from finefit.units import GIB, KIB, MIB, human_bytes, human_seconds


@given(st.integers(0, 1 << 60))
def test_bytes_are_read_back_within_their_last_figure(count: int) -> None:
    """What is printed is the number, to the figures that are printed."""
    figure, unit = human_bytes(count).split()
    size = {"GiB": GIB, "MiB": MIB, "KiB": KIB, "B": 1}[unit]
    decimals = len(figure.partition(".")[2])
    assert abs(float(figure) * size - count) <= 0.51 * size / 10**decimals


@given(st.integers(0, 1 << 60), st.integers(0, 1 << 60))
def test_more_bytes_never_read_as_less(one: int, other: int) -> None:
    """Printed sizes keep the order of the sizes."""

    def read(text: str) -> float:
        figure, unit = text.split()
        return float(figure) * {"GiB": GIB, "MiB": MIB, "KiB": KIB, "B": 1}[unit]

    small, large = sorted((one, other))
    assert read(human_bytes(small)) <= read(human_bytes(large))


@given(st.floats(0, 1e6))
def test_seconds_are_read_back_within_their_last_figure(seconds: float) -> None:
    """What is printed is the time, to the unit that is printed last."""
    words = human_seconds(seconds).split()
    size = {"h": 3600, "min": 60, "s": 1, "ms": 0.001}
    read = sum(float(figure) * size[unit] for figure, unit in zip(words[::2], words[1::2], strict=True))
    step = 0.1 if words[-1] == "s" and len(words) == 2 else size[words[-1]]
    assert abs(read - seconds) <= 0.501 * step
