"""The proof kit: finefit's predictions against what this machine's card really needs, point by point.

    python validation/grid.py list                      every point, its prediction and its seconds
    python validation/grid.py run --minutes 9 --out DIR  measures what has no receipt in DIR yet; say it again to go on
    python validation/grid.py status --out DIR           how far it is
    python validation/grid.py collect --out DIR          receipts to tests/receipts, beside their predictions
    python validation/grid.py predict [--fresh]          predicts every point, for the reference card
    python validation/grid.py wheels --out DIR           brings what a machine without network lacks

README.md beside this file has the whole way.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# finefit of this clone, whether it is installed or not, and in the processes that it starts
PATHS = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "src")]
sys.path[:0] = PATHS
os.environ["FINEFIT_CALIBRATION"] = "off"  # the catalogue's cards, not this machine's own
os.environ["PYTHONPATH"] = os.pathsep.join([*PATHS, *filter(None, [os.environ.get("PYTHONPATH")])])

if __name__ == "__main__":
    from kit.verbs import main

    sys.exit(main(__doc__ or ""))
