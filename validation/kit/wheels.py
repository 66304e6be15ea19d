"""What a machine without network lacks: TRL, datasets and bitsandbytes, with what only they need, as wheels.

There, `pip install --no-index --no-deps DIR/*.whl` puts them beside the torch, transformers, peft and accelerate that
it has. Versions are those of constraints.txt. Linux on x86-64, CPython 3.12.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

WANTED = ("trl", "datasets", "bitsandbytes", "dill", "multiprocess")
"""dill and multiprocess are datasets' own; its other requirements come with pandas, pyarrow and huggingface_hub."""

CONSTRAINTS = Path(__file__).parent.parent.parent / "constraints.txt"
PLATFORM = [
    *("--python-version", "3.12", "--only-binary", ":all:"),
    *("--platform", "manylinux_2_24_x86_64", "--platform", "manylinux2014_x86_64", "--platform", "any"),
]


def bring(folder: Path) -> int:
    """Downloads into `folder`; the exit code of pip."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), *PLATFORM]
    done = subprocess.run([*command, *pinned()], check=False)
    for wheel in sorted(folder.glob("*.whl")):
        print(f"{wheel.stat().st_size / 2**20:6.1f} MiB  {wheel.name}")
    return done.returncode


def pinned() -> list[str]:
    """`name==version` of each, as constraints.txt has it."""
    lines = re.findall(r"^([\w-]+)==(\S+)", CONSTRAINTS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    versions = dict(lines)
    return [f"{name}=={versions[name]}" for name in WANTED]
