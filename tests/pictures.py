"""Small pictures, and rows that show them, made by the example's own script."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

EXAMPLE = Path(__file__).parent.parent / "examples" / "pictures" / "make.py"


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pictures_made", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


png = example().png


def picture(folder: Path, width: int, height: int) -> str:
    """Its name in the folder."""
    name = f"{width}x{height}.png"
    (folder / name).write_bytes(png(width, height))
    return name


def said(content: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": content}


def row(question: Any, *images: Any, answer: str = "yes", **more: Any) -> dict[str, Any]:
    return {"messages": [said(question), said(answer, "assistant")], "images": list(images), **more}


def write(path: Path, *rows: Any) -> str:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return str(path)


def uneven(folder: Path) -> str:
    """Rows with no image, one, and two of several sizes, in words that tokenizers of tests know.

    The row that shows most is not the longest.
    """
    small, wide, tall = (picture(folder, *size) for size in ((60, 50), (150, 90), (70, 160)))
    place = {"type": "image"}
    return write(
        folder / "rows.jsonl",
        row("w1 w2", answer="w3 " * 130),
        row("w1", small, answer="w4 w5"),
        row([{"type": "text", "text": "w1"}, place, place], wide, tall, answer="w6 " * 9),
        row("w2", tall, answer="w7 " * 4),
    )
