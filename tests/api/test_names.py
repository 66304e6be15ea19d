"""The verbs by name."""

from __future__ import annotations

import subprocess
import sys

import pytest

from finefit import api


@pytest.mark.parametrize("name", api.__all__)
def test_every_name_is_there(name: str) -> None:
    """What is listed can be imported."""
    assert getattr(api, name) is not None


def test_one_verb_imports_no_other() -> None:
    """`estimate` answers without the modules that write guides, search plans or weigh tables."""
    asks = "import sys; from finefit.api import estimate; print(*sys.modules, sep='\\n')"
    said = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True).stdout.split()
    assert "finefit.estimate.pace.pace" in said
    assert not [name for name in said if name.startswith(("finefit.guide", "finefit.search.plan", "torch"))]


def test_an_unknown_name_is_told_as_any_module_tells_it() -> None:
    """AttributeError, with the name."""
    with pytest.raises(AttributeError, match="'wish'"):
        _ = api.wish  # type: ignore[attr-defined]
