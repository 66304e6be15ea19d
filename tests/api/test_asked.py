"""What is said of the machine that is asked about."""

from __future__ import annotations

import pytest

from finefit.api.asked import machine_or_reference


@pytest.mark.parametrize(
    ("gpu", "is_told"),
    [("H100-80GB", False), ("8xH100-80GB", False), ("16xH100-80GB", True), ("16xA100-40GB", False), ("2xcpu", False)],
)
def test_links_that_are_not_known_are_told(gpu: str, is_told: bool) -> None:
    """Of more GPUs than any machine holds: Google rents sixteen A100 of 40 GB in one."""
    _, notes = machine_or_reference(gpu)
    assert any("links between machines" in note for note in notes) == is_told
