"""How long a replay through the allocator takes: python benchmarks/allocator_replay.py

The history is a LoRA training step of an 8B model at 2048 tokens, with every layer kept, made by hand: 32 layers of
forward and backward with the sizes that such a step has, small scratch storages around each large one, and an
optimizer that steps over every adapter. It is like a recorded step in its sizes and lifetimes, not equal to one.
"""

from __future__ import annotations

import time

from finefit.tape.allocator import Settings, replay, smallest_capacity
from finefit.units import GIB, MIB

LAYERS, TOKENS, HIDDEN, MIDDLE, KEYS, VOCABULARY, RANK = 32, 2048, 4096, 14336, 1024, 128256, 16
STEPS = 2
SCRATCH = 5
"""Small storages (statistics, scalars, masks) that come and go around each large one."""


class History:
    """Births and deaths, as a recording has them."""

    def __init__(self) -> None:
        self.events: list[int] = []
        self.nbytes: list[int] = []

    def born(self, nbytes: int) -> int:
        self.nbytes.append(nbytes)
        self.events.append(len(self.nbytes))
        return len(self.nbytes)

    def dies(self, *storages: int) -> None:
        self.events.extend(-storage for storage in storages)


def widths() -> list[int]:
    """What the operations of one block write per token: norms, projections, attention, the gated product, residuals."""
    return [HIDDEN, HIDDEN, KEYS, KEYS, HIDDEN, KEYS, HIDDEN, HIDDEN, HIDDEN, MIDDLE, MIDDLE, MIDDLE, HIDDEN, HIDDEN]


def training(steps: int) -> History:
    history = History()
    shapes = [(HIDDEN, HIDDEN), (HIDDEN, KEYS), (HIDDEN, KEYS), (HIDDEN, HIDDEN)]
    shapes += [(HIDDEN, MIDDLE), (HIDDEN, MIDDLE), (MIDDLE, HIDDEN)]
    history.born(VOCABULARY * HIDDEN * 2)
    for _ in range(LAYERS):
        for rows, columns in shapes:
            history.born(rows * columns * 2)
    history.born(VOCABULARY * HIDDEN * 2)
    adapters = [RANK * side * 4 for _ in range(LAYERS) for shape in shapes for side in shape]
    for nbytes in adapters:
        history.born(nbytes)
    for step in range(steps):
        gradients = one_step(history, TOKENS - 64 * step, adapters)
        if step == 0:
            for nbytes in adapters * 2:
                history.born(nbytes)
        history.dies(*gradients)
    return history


def one_step(history: History, tokens: int, adapters: list[int]) -> list[int]:
    """Forward keeps what backward frees, layer by layer from behind; the gradients outlive it."""
    kept = [[scratched(history, tokens * width * 2) for width in widths()] for _ in range(LAYERS)]
    logits = history.born(tokens * VOCABULARY * 2)
    upcast = history.born(tokens * VOCABULARY * 4)
    history.dies(logits)
    upstream = history.born(tokens * HIDDEN * 2)
    history.dies(upcast)
    gradients = []
    per_layer = len(adapters) // LAYERS
    for layer in reversed(range(LAYERS)):
        for storage, width in zip(reversed(kept[layer]), reversed(widths()), strict=True):
            gradient = scratched(history, tokens * width * 2)
            history.dies(storage, upstream)
            upstream = gradient
        gradients += [history.born(nbytes) for nbytes in adapters[layer * per_layer : (layer + 1) * per_layer]]
    history.dies(upstream)
    return gradients


def scratched(history: History, nbytes: int) -> int:
    scratch = [history.born(512 * (1 + number)) for number in range(SCRATCH)]
    storage = history.born(nbytes)
    history.dies(*scratch)
    return storage


def main() -> None:
    history = training(STEPS)
    print(f"{len(history.events):,} events")
    for name, settings in (
        ("whole segments", Settings()),
        ("expandable segments", Settings(expandable_segments=True)),
        ("max_split_size_mb:128", Settings(max_split_size_bytes=128 * MIB)),
    ):
        seconds = []
        for _ in range(5):
            started = time.perf_counter()
            reserved = replay(history.events, history.nbytes, settings)
            seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
        smallest = smallest_capacity(history.events, history.nbytes, settings)
        searched = time.perf_counter() - started
        replayed, per_event = min(seconds), min(seconds) / len(history.events)
        print(f"{name:22} {replayed * 1e3:.0f} ms a replay, {per_event * 1e6:.2f} us an event;", end=" ")
        print(f"allocated {reserved.peak_allocated_bytes / GIB:.2f} GiB,", end=" ")
        print(f"reserved {reserved.peak_reserved_bytes / GIB:.2f} GiB;", end=" ")
        print(f"smallest capacity {smallest / GIB:.2f} GiB, found in {searched:.2f} s")


if __name__ == "__main__":
    main()
