"""Bytes, seconds and counts as people read them. GiB is 2**30 bytes."""

from __future__ import annotations

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

BYTE_UNITS = ((GIB, "GiB", 2), (MIB, "MiB", 1), (KIB, "KiB", 1))
"""(bytes, name, digits behind the point)."""


def human_bytes(count: float) -> str:
    """`29.01 GiB`, `4.2 MiB`, `512 B`: in the largest unit of which it is at least one, as it is written."""
    for unit, name, digits in BYTE_UNITS:
        if round(abs(count) / unit, digits) >= 1:
            return f"{count / unit:.{digits}f} {name}"
    return f"{int(count)} B"


def human_seconds(seconds: float) -> str:
    """`1 h 04 min`, `2 min 05 s`, `3.4 s`, `120 ms`."""
    if round(seconds) >= 3600:
        minutes = round(seconds / 60)
        return f"{minutes // 60} h {minutes % 60:02d} min"
    if round(seconds, 1) >= 60:
        whole = round(seconds)
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{seconds:.1f} s" if round(seconds * 1000) >= 1000 else f"{seconds * 1000:.0f} ms"


def counted(count: int, one: str, many: str) -> str:
    """`1 pair`, `4 pairs`."""
    return f"{count:,} {one if count == 1 else many}"
