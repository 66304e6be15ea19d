"""The size of an image, from its header, and where it is asked for, whether its pixels can be read.

Knows: what Pillow knows of a header, and whether the image is turned (EXIF, as datasets and transformers turn it).
Does not know: a turn that a PNG file says after its pixels.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from finefit.errors import BadInput, Problem
from finefit.nouns.formats.image_refs import Unreadable, source_of
from finefit.nouns.images import Size

ORIENTATION = 0x0112
ON_ITS_SIDE = (5, 6, 7, 8)
"""EXIF's orientations that exchange width and height."""


@dataclass(frozen=True)
class Looks:
    """How closely images are looked at."""

    decodes: bool = False
    # their pixels, and not the headers alone
    refused: Callable[[Size], str] = lambda _: ""
    # why the model's processor takes none of this size; empty where it does


HEADERS = Looks()


def sizes_of(refs: Iterable[Any], folder: Path, looks: Looks = HEADERS) -> tuple[Size, ...]:
    """Of what a row says of its images. Raises `Unreadable`."""
    sizes = tuple(size_of(ref, folder, decodes=looks.decodes) for ref in refs)
    for width, height in sizes:
        if why := looks.refused((width, height)):
            raise Unreadable(f"an image is {width} × {height}: {why}")
    return sizes


def size_of(ref: Any, folder: Path, *, decodes: bool = False) -> Size:
    """Of one. `decodes`: its pixels are read too. Raises `Unreadable`."""
    source = source_of(ref, folder)
    if isinstance(source, bytes):
        return _measured(BytesIO(source), "in the row", decodes)
    return _of_file(source, decodes)


def _of_file(path: str, decodes: bool) -> Size:
    try:
        with open(path, "rb") as file:
            return _measured(file, path, decodes)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        reason = error.strerror if isinstance(error, OSError) else error
        raise Unreadable(f"the image {path} cannot be read: {reason}") from None


def _measured(file: Any, name: str, decodes: bool) -> Size:
    image_module = _pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = image_module.open(file)
            width, height = image.size
            is_turned = _orientation(image_module, image) in ON_ITS_SIDE
    except Exception as error:  # each format's own
        raise Unreadable(f"the image {name} is no image that Pillow knows: {type(error).__name__}") from None
    if decodes:
        _decode(image, name)
    return (height, width) if is_turned else (width, height)


def _decode(image: Any, name: str) -> None:
    """As training reads pixels."""
    try:
        image.convert("RGB")
    except Exception as error:  # each format's own
        raise Unreadable(f"the pixels of the image {name} cannot be read: {error}") from None


def _orientation(image_module: Any, image: Any) -> Any:
    """`getexif` would decode a PNG file to look behind its pixels. Pillow turns a TIFF file's size by itself."""
    exif = image_module.Exif()
    exif.load(image.info.get("exif", b""))
    return exif.get(ORIENTATION)


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        why, hint = "the sizes of images are read by it", "pip install pillow, or finefit[train], which has it"
        raise BadInput(Problem("Pillow is not installed", why=why, hint=hint)) from None
    return Image
