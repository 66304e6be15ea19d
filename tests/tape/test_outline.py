"""The quick digest against that of the whole recording, on tapes of the atlas."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from finefit.catalog.atlas import FOLDER
from finefit.nouns.recording import Recording
from finefit.tape.digest import Read
from finefit.tape.micro_batches import with_micro_batches
from finefit.tape.outline import Asked, Outlines
from finefit.tape.sizes import Point
from finefit.tape.written import decode

FILES = random.Random(0).sample(sorted(Path(str(FOLDER)).glob("*.xz")), 6)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_outline_tells_what_the_recording_does(file: Path) -> None:
    """How high each segment goes, what is born and what was loaded, to the byte: at random points, numbers of layers
    and of micro-batches, on any card."""
    seeded = random.Random(file.name)
    for history in decode(file.read_bytes()).histories:
        units = [(growth.unit, seeded.randint(0, 30)) for growth in history.growths]
        layers = history.layers
        for unit, more in units:
            place = layers.index(unit[0])
            layers = layers[:place] + more * unit + layers[place:]
        for micro_batches in (1, 2, 5):
            outline = Outlines(history, is_single=micro_batches == 1).of(layers)
            for point in (history.points[0], *(_somewhere(history.points[0].rank, seeded) for _ in range(2))):
                numbers, recording = history.numbers(point), history.at(point, layers)
                assert (numbers is None) == (recording is None)
                if numbers is None or recording is None:
                    continue
                cublas = seeded.choice([0, 2**20])
                told = _with_cublas(with_micro_batches(recording, micro_batches), cublas)
                quick, whole = outline.at(numbers, Asked(micro_batches, cublas)), Read(told)
                assert quick.heights == whole.heights
                assert quick.born == whole.born
                assert Counter(quick.loaded) == Counter(whole.loaded)
                assert quick.recording == told


def _somewhere(rank: int, seeded: random.Random) -> Point:
    return Point(seeded.randint(1, 16), seeded.randint(16, 9000), rank and seeded.choice([8, 32, 128]))


def _with_cublas(recording: Recording, nbytes: int) -> Recording:
    names = recording.kind_names
    sizes = [
        nbytes if (names[kind][0], names[kind][3]) == ("workspace", "cublas") else size
        for kind, size in zip(recording.kinds, recording.nbytes, strict=True)
    ]
    return replace(recording, nbytes=tuple(sizes))


def test_what_does_not_stretch_is_refused() -> None:
    """A checkpointed layer is not what any recorded one is."""
    file = next(file for file in sorted(Path(str(FOLDER)).glob("*.none.*.xz")))
    history = decode(file.read_bytes()).histories[0]
    with pytest.raises(ValueError, match="do not stand for"):
        Outlines(history).of(history.layers + "A")
