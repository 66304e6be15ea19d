"""The curve against the peaks that it is drawn from."""

from __future__ import annotations

from pathlib import Path

from finefit.catalog.atlas import FOLDER
from finefit.tape.curve import curve_of
from finefit.tape.peaks import alive_at, moments
from finefit.tape.sizes import Point
from finefit.tape.written import decode

FILE = min(Path(str(FOLDER)).glob("llama-3.1-8b.lora.all.*.xz"))


def test_thinning_loses_no_maximum() -> None:
    """However few columns, the highest of each phase is the second step's own, and the categories add up to it."""
    recording = decode(FILE.read_bytes()).histories[0].at(Point(3, 700, 16), "A" * 9)
    assert recording is not None
    expected: dict[str, int] = {}
    for segment, moment in moments(recording):
        if segment.label.startswith("1/") and segment.start < segment.stop:
            expected[segment.phase] = max(expected.get(segment.phase, 0), moment.nbytes)
    for columns in (10, 300):
        curve = curve_of(recording, columns)
        for column in curve.columns[:: columns // 10]:
            alive = alive_at(recording, column.position)
            assert column.total == sum(recording.nbytes[number - 1] for number in alive)
        drawn: dict[str, int] = {}
        for column in curve.columns:
            drawn[column.phase] = max(drawn.get(column.phase, 0), column.total)
        assert drawn == expected
        assert curve.columns[curve.peak].total == max(expected.values())
