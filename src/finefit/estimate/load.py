"""How the weights came onto the GPU: what the allocator served before the first step.

    transformers 5.23   modeling_utils.caching_allocator_warmup, core_model_loading.convert_and_load_state_dict_in_model
    bitsandbytes 0.50   functional.quantize_4bit, functional.quantize_blockwise, nn.modules.Int8Params._quantize
    PEFT 0.21           utils.other.prepare_model_for_kbit_training

Knows: a model that is not quantised is loaded on the processor and moved tensor by tensor, as it was recorded. A
quantised one is loaded onto the GPU: one block as large as all of it is taken and given back; weight after weight comes
in full precision, is packed, and goes; then what is not packed becomes float32, and the cache is emptied. A frozen copy
that answers are compared with comes after it in the same way, and nothing of it becomes float32. Of a checkpoint that
is quantised already, weights and statistics come as they are, by their names in its files, and beside those of each
weight a few bytes that say how to read them.
Does not know: in which order several threads hand over what is quantised already; what a cast on the way takes, where
the rest of a checkpoint has another dtype than it is asked for in; weights that are put together while they load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from finefit.nouns.knobs import Dtype
from finefit.nouns.recording import Recording
from finefit.tape.allocator import EMPTY_CACHE
from finefit.tape.peaks import CUDA_BLOCK_BYTES

WIDTH = {"bfloat16": 2, "float16": 2, "float32": 4}
FLOAT = 4
HALF = 2
PACKED, STATISTICS = "packed", "statistics"
"""The operations by which a recording names quantised weights and what belongs to them."""
COPY = "reference"
"""The category of a frozen copy, but for its buffers."""


@dataclass(frozen=True)
class History:
    """What the allocator serves, in the words of `tape.allocator.replay`."""

    events: tuple[int, ...]
    nbytes: tuple[int, ...]
    # of the recording's storages, then of those that only the load knows


@dataclass(frozen=True)
class Loading:
    """How a model comes onto the GPU."""

    is_packed: bool = False
    # it is quantised in the checkpoint already
    is_emptied: bool = False
    # the cache is emptied when all is in place: DeepSpeed does, as it flattens groups (stage_1_and_2.py: __init__)


PLAIN = Loading()


def loaded(recording: Recording, weight_dtype: Dtype, loading: Loading = PLAIN) -> History:
    """The recording's history, from the first byte that its model takes."""
    stop = next(position for position, label in recording.marks if label.split("/")[2] != "load")
    numbers = recording.events[:stop]
    copied = [number for number in numbers if _category(recording, number) == COPY]
    own = [number for number in numbers if _category(recording, number) != COPY]
    emptied = (EMPTY_CACHE,) if loading.is_emptied else ()
    load, width = _Load(recording.nbytes), WIDTH[weight_dtype]
    packed, full = _packed(recording, own), None if loading.is_packed else width
    if packed:
        load.of_quantised(own, packed, _as_loaded(recording, own, packed, width), full)
    load.of_rest(own)
    packed = _packed(recording, copied)
    if packed:
        load.of_quantised(copied, packed, _as_they_are(recording, copied, packed), full)
    load.of_rest(copied)
    return History((*load.events, *emptied, *recording.events[stop:]), tuple(load.nbytes))


Packed = Mapping[int, tuple[int, ...]]
"""Of each quantised weight its statistics, as numbers of storages.

4 bits: the blocks' maxima, a table; with double quantisation also an offset, the maxima's maxima, another table.
8 bits: the rows' maxima.
"""


def _packed(recording: Recording, numbers: Sequence[int]) -> Packed:
    """Statistics stand in the order of their weights."""
    weights = [number for number in numbers if _op(recording, number) == PACKED]
    statistics = [number for number in numbers if _op(recording, number) == STATISTICS]
    if not weights or len(statistics) % len(weights):
        return {}
    each = len(statistics) // len(weights)
    return {weight: tuple(statistics[each * i : each * (i + 1)]) for i, weight in enumerate(weights)}


def _as_loaded(recording: Recording, numbers: Sequence[int], packed: Packed, width: int) -> dict[int, int]:
    """Of what is not quantised: its bytes before it became float32, where it did."""
    plain = [n for n in numbers if _category(recording, n) == "weight" and n not in packed]
    plain = [n for n in plain if _op(recording, n) != STATISTICS]
    nbytes = sum(recording.nbytes[n - 1] for n in plain)
    elements = recording.parameters - recording.trainable_parameters
    elements -= sum(_elements(recording.nbytes[n - 1], packed[n]) for n in packed)
    kept = nbytes // elements if elements else width
    return {n: recording.nbytes[n - 1] * width // kept for n in plain}


def _as_they_are(recording: Recording, numbers: Sequence[int], packed: Packed) -> dict[int, int]:
    """Of what is not quantised, where nothing is prepared for training."""
    plain = [n for n in numbers if n not in packed and _op(recording, n) != STATISTICS]
    return {n: recording.nbytes[n - 1] for n in plain}


def _elements(packed_bytes: int, statistics: Sequence[int]) -> int:
    return packed_bytes if len(statistics) == 1 else 2 * packed_bytes


def _op(recording: Recording, number: int) -> str:
    return recording.kind_names[recording.kinds[number - 1]][3]


def _category(recording: Recording, number: int) -> str:
    return recording.kind_names[recording.kinds[number - 1]][0]


class _Load:
    """The load, as far as it is written."""

    def __init__(self, nbytes: Sequence[int]) -> None:
        self.events: list[int] = []
        self.nbytes = list(nbytes)
        self.kept: set[int] = set()
        # storages of the recording that are there

    def of_quantised(
        self, numbers: Sequence[int], packed: Packed, as_loaded: Mapping[int, int], width: int | None
    ) -> None:
        """`width`: of a weight's element before it is packed; None where it comes packed."""
        everything = sum(as_loaded.values()) + sum(self.nbytes[number - 1] for number in packed)
        self._dies(self._born(everything))
        before: dict[int, int] = {}
        for number in numbers:
            if number in packed and width is None:
                self._take(number, packed[number])
            elif number in packed and width is not None:
                self._pack(number, packed[number], width)
            elif number in as_loaded and as_loaded[number] < self.nbytes[number - 1]:
                before[number] = self._born(as_loaded[number])
            elif number in as_loaded:
                self._keep(number)
        for number, narrow in before.items():
            self._keep(number)
            self._dies(narrow)
        if before:
            self.events.append(EMPTY_CACHE)

    def of_rest(self, numbers: Sequence[int]) -> None:
        """What is not there yet."""
        self._keep(*(number for number in numbers if number not in self.kept))

    def _take(self, weight: int, statistics: Sequence[int]) -> None:
        if len(statistics) == 1:
            self._keep(*statistics, weight)
        elif len(statistics) == 2:
            self._keep(weight, *statistics)
        else:
            maxima, table, offset, nested, nested_table = statistics
            self._keep(weight, maxima, nested, nested_table, table)
        said = self._born(CUDA_BLOCK_BYTES)  # less than a block: a line of JSON, or a byte for 8 bits
        if len(statistics) > 2:
            self._keep(offset)
        self._dies(said)

    def _pack(self, weight: int, statistics: Sequence[int], width: int) -> None:
        elements = _elements(self.nbytes[weight - 1], statistics)
        full = self._born(elements * width)
        if len(statistics) == 1:
            half = self._born(elements * HALF)  # once more, by way of the processor
            self._keep(*statistics, weight)
            self._dies(half)
        elif len(statistics) == 2:
            self._keep(statistics[0], weight, statistics[1])
        else:
            maxima, table, offset, nested, nested_table = statistics
            wide = self._born(self.nbytes[maxima - 1] * FLOAT)
            self._keep(weight, table, offset)
            centred = self._born(self.nbytes[maxima - 1] * FLOAT)
            self._keep(nested, maxima, nested_table)
            self._dies(centred)
            self._dies(wide)
        self._dies(full)

    def _keep(self, *numbers: int) -> None:
        self.events += numbers
        self.kept.update(numbers)

    def _born(self, nbytes: int) -> int:
        """A storage that only the load knows."""
        self.nbytes.append(nbytes)
        self.events.append(len(self.nbytes))
        return len(self.nbytes)

    def _dies(self, number: int) -> None:
        self.events.append(-number)
