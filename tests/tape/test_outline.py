"""The quick peak against the whole recording, on tapes of the atlas."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from finefit.catalog.atlas import FOLDER
from finefit.tape.micro_batches import with_micro_batches
from finefit.tape.outline import Outline
from finefit.tape.peaks import CUDA_BLOCK_BYTES, phase_peaks
from finefit.tape.sizes import Point
from finefit.tape.written import decode

FILES = random.Random(0).sample(sorted(Path(str(FOLDER)).glob("*.xz")), 6)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_outline_is_as_high_as_the_recording(file: Path) -> None:
    """In every phase, to the byte, at random points, numbers of layers, and one or two micro-batches."""
    seeded = random.Random(file.name)
    for history in decode(file.read_bytes()).histories:
        units = [(growth.unit, seeded.randint(0, 30)) for growth in history.growths]
        layers = history.layers
        for unit, more in units:
            place = layers.index(unit[0])
            layers = layers[:place] + more * unit + layers[place:]
        for micro_batches in (1, 2):
            outline = Outline(history, layers, micro_batches)
            assert outline.phase_peaks(history.points[0]) is not None
            for _ in range(3):
                rank = 0 if history.points[0].rank == 0 else seeded.choice([8, 32, 128])
                point = Point(seeded.randint(1, 16), seeded.randint(16, 9000), rank)
                recording = history.at(point, layers)
                told = recording and with_micro_batches(recording, micro_batches)
                assert outline.phase_peaks(point) == (told and phase_peaks(told, CUDA_BLOCK_BYTES))


def test_what_does_not_stretch_is_refused() -> None:
    """A checkpointed layer is not what any recorded one is."""
    file = next(file for file in sorted(Path(str(FOLDER)).glob("*.none.*.xz")))
    history = decode(file.read_bytes()).histories[0]
    with pytest.raises(ValueError, match="do not stand for"):
        Outline(history, history.layers + "A")
