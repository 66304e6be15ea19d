"""Bytes and seconds as people read them. GiB is 2**30 bytes."""

from __future__ import annotations

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


def human_bytes(count: float) -> str:
    """`29.01 GiB`, `4.2 MiB`, `512 B`: three or four figures, never more."""
    for unit, name, digits in ((GIB, "GiB", 2), (MIB, "MiB", 1), (KIB, "KiB", 1)):
        if abs(count) >= unit:
            return f"{count / unit:.{digits}f} {name}"
    return f"{int(count)} B"


def human_seconds(seconds: float) -> str:
    """`1 h 04 min`, `2 min 05 s`, `3.4 s`."""
    if seconds >= 3600:
        minutes = round(seconds / 60)
        return f"{minutes // 60} h {minutes % 60:02d} min"
    if seconds >= 60:
        whole = round(seconds)
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
