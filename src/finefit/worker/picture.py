"""One picture, turned and coloured as transformers does it (`load_image`), from what a row or a question says of it."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from finefit.nouns.formats.image_refs import Unreadable, source_of


def read(ref: Any, folder: Path) -> Any:
    """`folder`: from which paths are, and in which they stay. Raises `Unreadable`."""
    source = source_of(ref, folder)
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Unreadable(f"an image cannot be read: {error}") from None
