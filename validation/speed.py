"""Computes the time of every published run that can be expressed, and writes docs/accuracy.md anew.

python validation/speed.py
"""

from __future__ import annotations

import published
from published_kit import speeds


def main() -> None:
    speeds.compute()
    published.write_page()


if __name__ == "__main__":
    main()
