"""Makes a small data file whose rows show images: `python examples/pictures/make.py [FOLDER]`.

The pictures are stripes, written with the standard library alone; what they show does not matter to memory, their sizes
do. Three rows show a picture, one shows two, one is text; of those held out one shows two.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

SIZES = {"receipt": (480, 1280), "chart": (1024, 768), "photo": (1600, 1200), "icon": (64, 64)}


def png(width: int, height: int) -> bytes:
    """Grey stripes. Format: https://www.w3.org/TR/png/, one chunk of each kind that must be there."""
    rows = b"".join(bytes([0, *[40 * (row // 8 % 6)] * width]) for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def row(question: str | list[dict[str, str]], answer: str, *images: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "images": [f"images/{image}.png" for image in images]}


BOTH = [{"type": "image"}, {"type": "text", "text": "and"}, {"type": "image"}, {"type": "text", "text": "- alike?"}]
ROWS = [
    row("What was bought?", "Two loaves of bread and a pound of butter.", "receipt"),
    row("Describe the trend.", "It rises until June, falls in July, and then stays where it is. " * 20, "chart"),
    row("Where was this taken?", "At the sea.", "photo"),
    row(BOTH, "No: one is a chart, and the other one is an icon.", "chart", "icon"),
    row("What can you do?", "Answer questions about pictures."),
]
HELD_OUT = [
    row("Where was this taken?", "At the sea.", "icon"),
    row("What was bought?", "Two loaves of bread and a pound of butter.", "photo", "receipt"),
]


def main(folder: Path) -> None:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name, size in SIZES.items():
        (folder / "images" / f"{name}.png").write_bytes(png(*size))
    for name, rows in (("rows", ROWS), ("heldout", HELD_OUT)):
        lines = [json.dumps(each, ensure_ascii=False) for each in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
