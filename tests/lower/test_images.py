"""What the worker is told of a file's images."""

from __future__ import annotations

from pathlib import Path

from finefit.lower.images import tokens_of
from finefit.world.models import find_model

SEEING = Path(__file__).parents[2] / "examples" / "pictures" / "model"


def test_the_folders_own_limits_hold() -> None:
    """What its processor is told decides how many tokens an image becomes: 4 × 3 pieces here, and without a folder as
    the released checkpoint's has it. A placeholder is there already."""
    size = (1024, 768)
    assert tokens_of(find_model(str(SEEING)), [size, size]) == 2 * (4 * 3 - 1)
    assert tokens_of(find_model(str(SEEING / "config.json")), [size]) == 37 * 27 - 1
    assert tokens_of(find_model("Qwen/Qwen2.5-0.5B"), []) == 0
