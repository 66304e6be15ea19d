"""Computes the time of every published run that can be expressed, and writes docs/accuracy.md anew.

python validation/speed.py
"""

from __future__ import annotations

import os

import published
from published_kit import speeds


def main() -> None:
    os.environ["FINEFIT_CALIBRATION"] = "off"  # the catalogue's cards, not this machine's own
    speeds.compute()
    published.write_page()


if __name__ == "__main__":
    main()
