"""What must hold of every composed rank, whatever the engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
from ranks_kit.composed import compose, rehearsed
from ranks_kit.grid import ENGINES
from ranks_kit.phases import held_of, phases_of
from ranks_kit.runs import Run, engine_of

from finefit.nouns.engine import DeepSpeed
from finefit.nouns.recording import Recording
from finefit.tape.parallel.flat import Flat
from finefit.tape.parallel.parameters import Parameter, adapter_rows, groups_of, parameters_of
from finefit.tape.parallel.states import FLOAT, Rank
from finefit.tape.peaks import alive_at, held_at, segments

WIDTH = 2
ADAM = 2 * FLOAT
METHODS: tuple[Run, ...] = (
    Run("ddp"),
    Run("ddp", accumulation=2),
    Run("ddp", method="lora"),
    Run("ddp", method="lora", checkpointing="all"),
    Run("ddp", method="qlora4"),
    Run("ddp", shape="tied"),
)
"""What is rehearsed once and composed for every engine."""
RANKS = (1, 2, 4, 8)
OURS = ("master", "bucket", "gathered")
"""Categories that engines alone make."""
EVERYTHING = [
    replace(method, engine=engine, ranks=ranks) for method in METHODS for engine in ENGINES for ranks in (2, 4)
]


@cache
def recorded(run: Run) -> Recording:
    """Of the run's recipe, alone; the same for every engine."""
    return rehearsed(replace(run, engine="zero2", ranks=2, offload="none", zero=()))


@cache
def of(run: Run, rank: int | None = None) -> Rank:
    return compose(run, recorded(run), None, rank)


def parameters(run: Run) -> tuple[Parameter, ...]:
    return parameters_of(recorded(run), WIDTH)


def state(run: Run, number: int) -> int:
    """Parameters, gradients and the optimizer's state of a rank as the second step begins, on the device and off it."""
    rank = of(run, number)
    position = next(s.start for s in segments(rank.recording) if s.label.startswith("1/0/optimizer")) - 1
    kinds = ("weight", "adapter", "gradient", "optimizer", "master")
    held = sum(held.nbytes for kind, held in held_at(rank.recording, position).items() if kind[0] in kinds)
    return held + sum(rank.host.values())


def held(run: Run) -> int:
    """After the last step."""
    return sum(held_of(of(run).recording).values()) + sum(of(run).host.values())


def others(recording: Recording) -> Iterator[tuple[str, list[tuple[int, tuple[str, ...]]]]]:
    """Of every segment: what is alive at its end that no engine takes away or brings."""
    taken = (*OURS, "weight", "adapter", "gradient", "optimizer")
    for segment in segments(recording):
        alive = alive_at(recording, segment.stop - 1)
        found = [(recording.nbytes[n - 1], recording.kind_names[recording.kinds[n - 1]]) for n in sorted(alive)]
        yield segment.label, [one for one in found if one[1][0] not in taken and one[1][1] != "optimizer"]


@pytest.mark.wide(24)
@pytest.mark.parametrize("run", EVERYTHING, ids=lambda run: run.id)
def test_a_composed_recording_is_a_recording(run: Run) -> None:
    """Storages are numbered by their births, none dies before its birth or twice, and the marks are the recording's."""
    recording = of(run).recording
    births = [event for event in recording.events if event > 0]
    assert births == list(range(1, len(recording.nbytes) + 1))
    alive: set[int] = set()
    for event in recording.events:
        if event > 0:
            alive.add(event)
        else:
            alive.remove(-event)
    assert [label for _, label in recording.marks] == [label for _, label in recorded(run).marks]
    assert all(earlier <= later for (earlier, _), (later, _) in pairwise(recording.marks))


@pytest.mark.parametrize("run", EVERYTHING, ids=lambda run: run.id)
def test_activations_are_the_recordings(run: Run) -> None:
    """At the end of every segment but the step's own, the same activations, batches and buffers live, however weights
    are divided; and after the last step too."""
    alone = dict(others(recorded(run)))
    for label, found in others(of(run).recording):
        if "/backward" not in label and "/optimizer" not in label:
            assert found == alone[label], label


@pytest.mark.parametrize("run", METHODS, ids=lambda run: run.id)
@pytest.mark.parametrize("ranks", RANKS[1:])
def test_a_higher_stage_never_holds_more_of_the_model(run: Run, ranks: int) -> None:
    """Parameters, gradients and the optimizer's state, as a step begins: on each rank a stage has at most what the one
    before has, but for the padding of what it divides."""
    padding = (WIDTH + FLOAT + ADAM) * (len(parameters(run)) + 2 * 2 * ranks)
    for rank in range(ranks):
        stages = [state(replace(run, engine=engine, ranks=ranks), rank) for engine in ENGINES[1:5]]
        assert all(higher <= lower + padding for lower, higher in pairwise(stages)), stages
        assert stages[3] < stages[0]


@pytest.mark.parametrize("engine", ENGINES[2:])
@pytest.mark.parametrize("run", METHODS, ids=lambda run: run.id)
def test_more_ranks_never_hold_more(run: Run, engine: str) -> None:
    """Of what is held between steps, each rank of more has less, but for what is gathered to stay and padding."""
    rows = [replace(run, engine=engine, ranks=ranks) for ranks in RANKS]  # type: ignore[arg-type]
    kept = [held(row) - gathered_at_the_end(row) for row in rows]
    assert all(more < fewer for fewer, more in pairwise(kept)), kept


def gathered_at_the_end(run: Run) -> int:
    recording = of(run).recording
    kinds = held_at(recording, len(recording.events) - 1).items()
    return sum(held.nbytes for kind, held in kinds if kind[0] == "gathered")


@pytest.mark.parametrize("run", METHODS, ids=lambda run: run.id)
def test_one_rank_divides_nothing(run: Run) -> None:
    """ZeRO 1 and 2 hold on one rank what stage 0 holds, but for two elements of padding in each group."""
    zero, one, two = (held(replace(run, engine=engine, ranks=1)) for engine in ENGINES[1:4])
    groups = len(groups_of(parameters(run)))
    assert one == two
    assert zero <= one <= zero + groups * (WIDTH + FLOAT + ADAM)


@pytest.mark.parametrize("run", METHODS, ids=lambda run: run.id)
@pytest.mark.parametrize("engine", ["zero1", "zero2"])
@pytest.mark.parametrize("ranks", RANKS)
def test_the_parts_are_the_whole(run: Run, engine: str, ranks: int) -> None:
    """The ranks' float32 parts together are the flat group, each parameter's slices are the parameter, and a group is
    padded by less than two elements a rank."""
    on = [of(replace(run, engine=engine, ranks=ranks), rank) for rank in range(ranks)]  # type: ignore[arg-type]
    flats = [Flat(group, ranks) for group in groups_of(parameters(run))]
    masters = [kind_bytes(each.recording, "master") for each in on]
    assert sum(masters) == FLOAT * sum(flat.elements for flat in flats)
    for flat in flats:
        assert 0 <= flat.elements - flat.unpadded < 2 * ranks
        slices = {one.storage: sum(n for _, n in flat.owners[one.storage]) for one in flat.group}
        assert slices == {one.storage: one.elements for one in flat.group}
        assert all(flat.of(rank) or flat.unpadded <= rank * flat.part for rank in range(ranks))


def kind_bytes(recording: Recording, category: str) -> int:
    """At the end."""
    kinds = held_at(recording, len(recording.events) - 1).items()
    return sum(held.nbytes for kind, held in kinds if kind[0] == category)


@pytest.mark.parametrize("run", METHODS, ids=lambda run: run.id)
@pytest.mark.parametrize("ranks", RANKS)
def test_what_stays_gathered_is_persistent(run: Run, ranks: int) -> None:
    """After a step of ZeRO 3 the small parameters are whole, each padded to the ranks, and nothing else is; on one rank
    they are views. Of FSDP2 nothing is."""
    zero3 = replace(run, engine="zero3", ranks=ranks)
    engine = engine_of(zero3)
    assert isinstance(engine, DeepSpeed)
    limit = engine.buckets.stage3_param_persistence_threshold
    small = [one for one in parameters(run) if one.elements <= limit]
    widths = [1 if one.is_packed else WIDTH for one in small]
    whole = sum(-(-one.elements // ranks) * ranks * width for one, width in zip(small, widths, strict=True))
    assert gathered_at_the_end(zero3) == (whole if ranks > 1 else 0)
    assert gathered_at_the_end(replace(run, engine="fsdp2", ranks=ranks)) == 0


@pytest.mark.parametrize("run", METHODS, ids=lambda run: run.id)
def test_a_lower_limit_never_gathers_more(run: Run) -> None:
    """With stage3_max_live_parameters no more is gathered at a time, the fewer it allows."""
    limits = (10**9, 600_000, 300_000, 0)
    peaks = []
    for limit in limits:
        zero = (("stage3_max_live_parameters", limit),)
        peaks.append(gathered_peak(of(replace(run, engine="zero3", zero=zero)).recording))
    assert all(less <= more for more, less in pairwise(peaks)), peaks
    assert peaks[-1] < peaks[0]


def gathered_peak(recording: Recording) -> int:
    live = peak = 0
    for event in recording.events:
        number = abs(event)
        if recording.kind_names[recording.kinds[number - 1]][0] == "gathered":
            live += recording.nbytes[number - 1] * (1 if event > 0 else -1)
            peak = max(peak, live)
    return peak


@pytest.mark.parametrize("engine", ["zero1", "zero2", "zero3", "fsdp2"])
@pytest.mark.parametrize("run", METHODS[:4], ids=lambda run: run.id)
def test_what_is_offloaded_is_on_the_host(run: Run, engine: str) -> None:
    """Offload takes gradients and the optimizer's state off the device between steps, and no phase needs more of the
    device for it but for a gradient on its way."""
    plain = replace(run, engine=engine)  # type: ignore[arg-type]
    away = replace(plain, offload="all" if engine == "fsdp2" else "optimizer")
    assert kind_bytes(of(away).recording, "optimizer") == kind_bytes(of(away).recording, "gradient") == 0
    assert of(away).host["optimizer state"] == kind_bytes(of(plain).recording, "optimizer")
    widest = max(one.elements for one in parameters(run) if one.is_trained)
    for key, (_, peak, _) in phases_of(of(away).recording).items():
        assert peak <= phases_of(of(plain).recording)[key][1] + 2 * ADAM * widest, key


@pytest.mark.parametrize(("method", "rank"), [("lora", 8), ("lora", 6), ("qlora4", 2), ("qlora4", 8), ("qlora8", 6)])
def test_the_rank_of_adapters_is_read_from_their_sizes(method: str, rank: int) -> None:
    """Every adapter's first matrix has as many rows as the adapter's rank, also beside quantised weights."""
    run = Run("zero2", method=method, rank=rank)  # type: ignore[arg-type]
    found = parameters(run)
    rows = adapter_rows(found)
    assert set(rows.values()) == {rank}
    assert len(rows) == sum("lora_A" in one.name for one in found)


@pytest.mark.wide(24)
@pytest.mark.parametrize("run", EVERYTHING, ids=lambda run: run.id)
def test_shorter_rows_are_composed_alike(run: Run) -> None:
    """What is composed of a step with rows of another length is the same step with that one's sizes."""
    shorter = replace(run, length=run.length // 2)
    assert of(run).nbytes_of(recorded(shorter)) == of(shorter).recording.nbytes
    assert of(run).recording.events == of(shorter).recording.events
