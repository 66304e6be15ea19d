"""The size of an image, from its header: nothing is decoded.

A path is from the data file's own folder, and stays in it: rows that somebody else wrote do not make finefit open files
elsewhere. A link in that folder may lead anywhere: who made it said so. Nothing is fetched from the network.

Knows: what Pillow knows of a header, and whether the image is turned (EXIF, as datasets and transformers turn it).
Does not know: whether the pixels can be read; a turn that a PNG file says after its pixels.
"""

from __future__ import annotations

import base64
import binascii
import os
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

from finefit.errors import BadInput, Problem
from finefit.nouns.images import Size
from finefit.nouns.kinds import kind

ORIENTATION = 0x0112
ON_ITS_SIDE = (5, 6, 7, 8)
"""EXIF's orientations that exchange width and height."""
DATA = "data:image/"
NETWORK = ("http://", "https://", "hf://", "s3://")


class Unreadable(Exception):
    """Why an image has no size."""


def size_of(ref: Any, folder: Path) -> Size:
    """Of what a row says of an image: a path, `{"path": ...}` or `{"bytes": ...}` (in base64), or a data URL."""
    if isinstance(ref, dict):
        if ref.get("bytes") is not None:
            return _of_text(ref["bytes"])
        ref = ref.get("path")
        if ref is None:
            raise Unreadable("an image has neither `path` nor `bytes`")
    if not isinstance(ref, str):
        raise Unreadable(f"an image is {kind(ref)}, not a path")
    if ref.startswith(DATA):
        return _of_text(ref.partition(",")[2])
    return _of_file(_inside(ref, folder))


def _inside(path: str, folder: Path) -> str:
    if path.startswith(NETWORK):
        raise Unreadable(f"the image {path} is on the network, and nothing is downloaded")
    found = os.path.normpath(folder / path)
    if Path(found) != folder and folder not in Path(found).parents:
        raise Unreadable(
            f"the image {path} lies outside of {folder}: images are in the data file's folder, or behind a link in it"
        )
    return found


def _of_file(path: str) -> Size:
    try:
        with open(path, "rb") as file:
            return _measured(file, path)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        reason = error.strerror if isinstance(error, OSError) else error
        raise Unreadable(f"the image {path} cannot be read: {reason}") from None


def _of_text(text: Any) -> Size:
    if isinstance(text, bytes):  # as Parquet has them
        return _measured(BytesIO(text), "in the row")
    if not isinstance(text, str):
        raise Unreadable(f"the bytes of an image are {kind(text)}, not text in base64")
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unreadable(f"the bytes of an image are not base64: {error}") from None
    return _measured(BytesIO(raw), "in the row")


def _measured(file: Any, name: str) -> Size:
    image_module = _pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = image_module.open(file)
            width, height = image.size
            is_turned = _orientation(image_module, image) in ON_ITS_SIDE
    except Exception as error:  # each format's own
        raise Unreadable(f"the image {name} is no image that Pillow knows: {type(error).__name__}") from None
    return (height, width) if is_turned else (width, height)


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
