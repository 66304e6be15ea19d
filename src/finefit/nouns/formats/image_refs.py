"""What a row says of an image: the name of a file, or bytes.

A path is from the data file's own folder, and stays in it: rows that somebody else wrote do not make finefit open files
elsewhere. A link in that folder may lead anywhere: who made it said so. Nothing is fetched from the network.

Knows: a path, `{"path": ...}` or `{"bytes": ...}` (in base64), and a data URL. Does not know: whether a file is there.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import Any

from finefit.nouns.kinds import kind

DATA = "data:image/"
NETWORK = ("http://", "https://", "hf://", "s3://")


class Unreadable(Exception):
    """Why an image cannot be looked at."""


def source_of(ref: Any, folder: Path) -> str | bytes:
    """The path of its file, or what would be in it."""
    if isinstance(ref, dict):
        if ref.get("bytes") is not None:
            return _bytes_of(ref["bytes"])
        ref = ref.get("path")
        if ref is None:
            raise Unreadable("an image has neither `path` nor `bytes`")
    if not isinstance(ref, str):
        raise Unreadable(f"an image is {kind(ref)}, not a path")
    if ref.startswith(DATA):
        return _bytes_of(ref.partition(",")[2])
    return _inside(ref, folder)


def told_of(ref: Any, folder: Path) -> str:
    """The same in plain text, for who does not know the folder: a whole path, or a data URL."""
    source = source_of(ref, folder)
    return source if isinstance(source, str) else f"{DATA}*;base64,{base64.b64encode(source).decode()}"


def _inside(path: str, folder: Path) -> str:
    if path.startswith(NETWORK):
        raise Unreadable(f"the image {path} is on the network, and nothing is downloaded")
    found = os.path.normpath(folder / path)
    if Path(found) != folder and folder not in Path(found).parents:
        raise Unreadable(
            f"the image {path} lies outside of {folder}: images are in the data file's folder, or behind a link in it"
        )
    return found


def _bytes_of(text: Any) -> bytes:
    if isinstance(text, bytes):  # as Parquet has them
        return text
    if not isinstance(text, str):
        raise Unreadable(f"the bytes of an image are {kind(text)}, not text in base64")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unreadable(f"the bytes of an image are not base64: {error}") from None
