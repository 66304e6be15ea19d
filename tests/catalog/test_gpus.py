"""Cards by name."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finefit.catalog.gpus import gpu_named, rows
from finefit.errors import BadInput
from finefit.units import GIB

CUDA = [row for row in rows() if row.gpu is not None]


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("4090", "GeForce RTX 4090"),
        ("rtx4090", "GeForce RTX 4090"),
        ("RTX 4090", "GeForce RTX 4090"),
        ("NVIDIA GeForce RTX 4090", "GeForce RTX 4090"),
        ("H100-80GB", "H100 SXM5 80GB"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM5 80GB"),
        ("h100-pcie", "H100 PCIe 80GB"),
        ("A100-80GB", "A100 SXM4 80GB"),
        ("NVIDIA A100-PCIE-40GB", "A100 PCIe 40GB"),
        ("T4", "Tesla T4"),
        ("V100-32GB", "Tesla V100 SXM2 32GB"),
        ("RTX3060", "GeForce RTX 3060 12GB"),
        ("4060ti-16gb", "GeForce RTX 4060 Ti 16GB"),
        ("NVIDIA A10G", "A10G (AWS g5)"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "RTX PRO 6000 Blackwell 96GB"),
    ],
)
def test_people_and_drivers_name_the_same_card(word: str, name: str) -> None:
    """A name may lack the maker and the form factor, and may be what nvidia-smi prints."""
    assert gpu_named(word).name == name


@pytest.mark.parametrize("row", CUDA, ids=lambda row: row.name)
def test_every_row_answers_to_its_own_name(row) -> None:
    """No card hides another, and its memory is near what it is sold with."""
    gpu = gpu_named(row.name)
    assert gpu.name == row.name
    assert 0.8 * row.memory_gb < gpu.vram_bytes / GIB <= 1.01 * row.memory_gb


@pytest.mark.parametrize(
    ("word", "fragment"),
    [
        ("A100", "may be any of: A100 PCIe 40GB"),
        ("4060 ti", "may be any of"),
        ("RTX4091", "did you mean GeForce RTX 4090"),
        ("RTX4090-48GB", "did you mean GeForce RTX 4090"),
        ("RTX 4090 Laptop GPU", "unknown GPU"),
        ("MI300X", "comes in a later version"),
        ("abacus", "a name like RTX4090"),
        ("", "unknown GPU"),
    ],
)
def test_what_is_no_one_card_is_refused_with_the_near_ones(word: str, fragment: str) -> None:
    """Memory is never guessed from half a name."""
    with pytest.raises(BadInput, match=fragment):
        gpu_named(word)


@given(st.text(max_size=20))
def test_any_word_is_a_card_or_bad_input(word: str) -> None:
    """No name crashes the catalog."""
    with suppress(BadInput):
        assert gpu_named(word).vram_bytes > GIB


def test_old_cards_have_no_bfloat16() -> None:
    """Before Ampere there is none in silicon."""
    assert all(row.gpu.native_bf16 == (row.gpu.compute_capability >= (8, 0)) for row in CUDA if row.gpu)
