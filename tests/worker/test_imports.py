"""Libraries stay, and what comes after them is collected as ever."""

from __future__ import annotations

import gc

import pytest

from finefit.worker.imports import importing


def test_what_was_imported_is_looked_through_no_more() -> None:
    with importing():
        assert not gc.isenabled()
        imported: list[list[None]] = [[]]
    assert gc.isenabled()
    assert not any(each is imported for each in gc.get_objects())


def test_a_failed_import_leaves_the_collector_on() -> None:
    with pytest.raises(ImportError), importing():
        raise ImportError
    assert gc.isenabled()
