"""What packing means beside the other keys."""

from __future__ import annotations

import pytest

from finefit.errors import BadInput
from finefit.world.fields import KEYS
from finefit.world.jobs import job_of_options


@pytest.mark.parametrize(
    ("beside", "why"),
    [
        ({"task": "dpo"}, "TRL packs no preferences"),
        ({"image-size": "64x64"}, "no rows that show images"),
    ],
)
def test_only_rows_of_text_are_packed(beside: dict[str, str], why: str) -> None:
    """Whatever else is asked for is one clear message; without packing there is none."""
    assert job_of_options(beside, KEYS)
    with pytest.raises(BadInput) as caught:
        job_of_options({"packing": "true", **beside}, KEYS)
    [problem] = caught.value.problems
    assert why in problem.why
    assert problem.where == "--packing"
