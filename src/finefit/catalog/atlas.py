"""Tapes of popular models, made by `make atlas`: one file for each recipe, `<model>.<method>.<shape>.<key>.xz`.

The key is `finefit.rehearsal.recipe.Recipe.key`. What is in a file, `finefit.tape.written` knows.
"""

from __future__ import annotations

from importlib.resources import files

FOLDER = files("finefit.catalog").joinpath("atlas")


def tape_bytes(key: str) -> bytes | None:
    if not FOLDER.is_dir():
        return None
    for file in FOLDER.iterdir():
        if file.name.endswith(f".{key}.xz"):
            return file.read_bytes()
    return None
