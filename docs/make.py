"""Writes the pages that are made from the code: one a command, from its own help.

    python docs/make.py [--check]

--check writes nothing and fails where a page is out of date.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PAGES = Path(__file__).parent / "commands"
COMMANDS = ("estimate", "train", "receipt", "generate")


def main() -> int:
    stale = []
    for command in COMMANDS:
        page, text = PAGES / f"{command}.md", page_of(command)
        if page.exists() and page.read_text(encoding="utf-8") == text:
            continue
        stale.append(page.name)
        if "--check" not in sys.argv:
            PAGES.mkdir(exist_ok=True)
            page.write_text(text, encoding="utf-8")
    if "--check" in sys.argv and stale:
        print(f"out of date: {', '.join(stale)}; run python docs/make.py", file=sys.stderr)
        return 1
    return 0


def page_of(command: str) -> str:
    """The command's help, as a user with a terminal of 100 columns sees it."""
    environment = os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    shown = subprocess.run(
        [sys.executable, "-m", "finefit", command, "--help"],
        capture_output=True, text=True, check=True, env=environment,
    ).stdout  # fmt: skip
    lines = "\n".join(line.rstrip() for line in shown.strip().splitlines())
    return (
        f"# finefit {command}\n\nMade from the code by `python docs/make.py`; do not edit.\n\n```text\n{lines}\n```\n"
    )


if __name__ == "__main__":
    sys.exit(main())
