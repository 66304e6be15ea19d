"""How fast a GPU moves bytes and multiplies matrices: gpus.csv, where each row has its source.

Knows: bandwidth of the memory, dense matrix products in half precision (the best that was measured, where anybody
has; else what the data sheet says, made smaller as the measured ones of its kind are), products in float32, and the
link to the host and between GPUs. Does not know: how a card's clock falls under its power limit in a long run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import median

from finefit.nouns.range import Basis

from .gpus import cells_of, facts


@dataclass(frozen=True)
class Rates:
    """In bytes and floating-point operations per second."""

    memory: float
    half: float
    # products of bfloat16 or float16 that are added up in float32
    half_basis: Basis
    float32: float
    # on the plain cores, as torch multiplies float32 unless TensorFloat-32 is allowed
    host: float
    # one way, over PCIe
    peer: float
    # one way, to another GPU of the same machine
    native_bf16: bool
    is_consumer: bool
    # a GeForce, whose driver lets none write into another
    peer_basis: Basis = "derived"
    forward_start: float = 20e-6
    # seconds of the processor to start a kernel from a module's Python code; guessed
    backward_start: float = 10e-6
    # to start one from autograd; guessed
    measured: str = ""
    # when this machine's own were; empty: they are the catalogue's
    ratios: tuple[float, ...] = ()
    # of finished runs on this machine: measured seconds over those that were predicted with these rates


def is_catalogued(gpu: str) -> bool:
    return any(cells["name"] == gpu for cells in facts())


@cache
def rates_of(gpu: str) -> Rates:
    """Of a card by its name in gpus.csv."""
    cells = cells_of(gpu)
    plain = float(cells["fp32_tflops"]) * 1e12
    half, basis = _half(cells, plain)
    host = float(cells["pcie_unidir_gbs"]) * 1e9
    return Rates(
        memory=float(cells["mem_bw_gbs"]) * 1e9,
        half=half,
        half_basis=basis,
        float32=plain,
        host=host,
        peer=float(cells["nvlink_or_if_bidir_gbs"] or 0) * 1e9 / 2 or host,
        native_bf16=cells["native_bf16"].startswith("yes"),
        is_consumer=_is_geforce(cells),
    )


THROTTLED = {"Tesla T4": 28e12}
"""Half precision under a power limit that large products always meet (70 W): what published steps reached, of which its
row in gpus.csv says 25 to 40."""


def _half(cells: dict[str, str], plain: float) -> tuple[float, Basis]:
    if cells["name"] in THROTTLED:
        return THROTTLED[cells["name"]], "guessed"
    measured, sheet = _measured(cells), _sheet(cells)
    if measured:
        return measured, "measured"
    return (sheet * _reached(_is_geforce(cells)), "derived") if sheet else (plain, "derived")


@cache
def _reached(geforce: bool) -> float:
    """What part of the data sheet's rate the best measured product has, in the middle of all cards of a kind that have
    both: GeForce clocks above its reference, and data centre cards below theirs."""
    both = [
        (_measured(cells), _sheet(cells))
        for cells in facts()
        if cells["vendor"] == "NVIDIA" and _is_geforce(cells) == geforce and _measured(cells) and _sheet(cells)
    ]
    return median(measured / sheet for measured, sheet in both)


def _measured(cells: dict[str, str]) -> float:
    return float(cells["matmul_bf16_measured_tflops"] or 0) * 1e12


def _sheet(cells: dict[str, str]) -> float:
    return float(cells["fp16_tensor_fp32acc_dense_tflops"] or cells["bf16_tensor_dense_tflops"] or 0) * 1e12


def _is_geforce(cells: dict[str, str]) -> bool:
    return cells["name"].startswith("GeForce")
