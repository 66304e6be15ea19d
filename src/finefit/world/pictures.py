"""What a model's folder says of how its processor reads images.

Knows: preprocessor_config.json, and processor_config.json, in which transformers keeps it since version 5.
Does not know: whether the processor takes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finefit.errors import BadInput, Problem

ITS_OWN = "preprocessor_config.json"
SHARED, PART = "processor_config.json", "image_processor"


def said_of_pictures(folder: Path) -> Mapping[str, Any]:
    """Nothing where the folder has none."""
    shared = _read(folder / SHARED).get(PART)
    return shared if isinstance(shared, dict) else _read(folder / ITS_OWN)


def refuse_blind(folder: Path) -> None:
    """Raises `BadInput` where images are to be read and nothing says how."""
    if not said_of_pictures(folder):
        raise BadInput(
            Problem(
                f"there is no {ITS_OWN}",
                where=str(folder),
                why="rows show images, which the model's own processor reads",
                hint="`AutoProcessor.from_pretrained(…).save_pretrained(folder)` writes it",
            )
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadInput(Problem(f"cannot be read: {error}", where=str(path))) from None
    return found if isinstance(found, dict) else {}
