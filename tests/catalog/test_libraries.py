"""The versions that plans and tapes name."""

from __future__ import annotations

from importlib.metadata import version

from finefit.catalog.libraries import installed


def test_what_is_not_installed_has_no_version() -> None:
    """The others have theirs, in the order asked."""
    assert list(installed(["pytest", "no-such-library", "pydantic"]).items()) == [
        ("pytest", version("pytest")),
        ("pydantic", version("pydantic")),
    ]
