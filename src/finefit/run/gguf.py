"""llama.cpp's converter, where it is installed: a command beside finefit, with an environment of its own.

Its package (`llama-cpp-scripts`, in llama.cpp's own repository) asks for transformers 4, so that it cannot be in the
environment that trains; `gguf` on PyPI is its file format alone. Which models it knows, it says itself.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from finefit.errors import BadInput, Problem, RunFailed

COMMANDS = ("llama-convert-hf-to-gguf", "convert_hf_to_gguf.py")
HINT = (
    "`pipx install git+https://github.com/ggml-org/llama.cpp`, or put its convert_hf_to_gguf.py on the PATH; or export "
    "without --gguf, and convert the folder elsewhere"
)


def converter() -> str:
    found = next((path for command in COMMANDS if (path := shutil.which(command))), None)
    if found is None:
        why = f"none of {', '.join(COMMANDS)} is on the PATH; the package `gguf` does not have it"
        raise BadInput(Problem("llama.cpp's converter is not here", where="--gguf", why=why, hint=HINT))
    return found


def convert(command: str, folder: Path) -> Path:
    """Beside the folder; whole or not at all."""
    made = folder.with_name(f"{folder.name}.gguf")
    partial = folder.with_name(f".partial-{made.name}")
    try:
        done = subprocess.run([command, str(folder), "--outfile", str(partial)], capture_output=True, text=True)
        if done.returncode != 0 or not partial.is_file():
            words = (done.stderr.strip().splitlines() or ["it wrote nothing"])[-1]
            raise RunFailed(f"{folder} is exported, but llama.cpp's converter failed: {words}")
        partial.replace(made)
    finally:
        partial.unlink(missing_ok=True)
    return made
