"""From the recording of one rank alone to the time of an optimizer step, and where it goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from finefit.catalog.optimizers import OPTIMIZERS, state_bytes
from finefit.nouns.engine import Engine, is_plain
from finefit.nouns.pace import OPTIMIZER as STEPPING
from finefit.nouns.pace import Pace, Share
from finefit.nouns.range import Basis
from finefit.nouns.recording import Recording
from finefit.nouns.task import passes_of
from finefit.tape.born import OPTIMIZER
from finefit.tape.digest import Digest, Read

from .labour import Labour, labour_of
from .links import Sent, Sizes, exposed, sent
from .moved import moved_bytes
from .past import correction, words
from .products import weights_of
from .seconds import MATMUL, MEMORY, MicroBatch, micro_batch, moving
from .setup import FLOAT32, Setup
from .spread import spread_of

CLIPPED = 3
"""Gradients are read for their norm, then read and written."""
STEPPED = 2
"""Gradients are read by the optimizer and emptied; states and weights are read and written."""
STEP_SECONDS = 0.008
"""Guessed: what a trainer does between two steps, in Python."""


@dataclass(frozen=True)
class Work:
    """What a step does, whatever the GPU and however many micro-batches there are."""

    first: MicroBatch
    later: MicroBatch
    trained: int
    # parameters
    weights_bytes: int
    adapters: int
    # modules that are one, each
    temporary_bytes: float
    # that the optimizer's step moves besides states


@dataclass(frozen=True)
class Effort:
    """A step's work, before a card does it."""

    first: Labour
    later: Labour
    trained: int
    weights_bytes: int
    adapters: int
    temporary_bytes: float


def effort_of(digest: Digest, setup: Setup, layers: int) -> Effort:
    """`digest`: of one rank, without its engine; `layers`: that it has."""
    parts, weights = digest.born, weights_of(digest.loaded, setup)
    first = labour_of(parts["0"], weights, setup, layers)
    stepped = parts.get(OPTIMIZER)
    return Effort(
        first=first,
        later=labour_of(parts["1"], weights, setup, layers) if "1" in parts else first,
        trained=digest.trained,
        weights_bytes=sum(nbytes * count for _, nbytes, count in digest.loaded),
        adapters=sum(weight.count for weight in weights.values() if weight.is_adapter),
        temporary_bytes=0.0 if stepped is None else sum(moved_bytes(stepped)),
    )


def work_on(effort: Effort, setup: Setup) -> Work:
    first = micro_batch(effort.first, setup)
    later = first if effort.later is effort.first else micro_batch(effort.later, setup)
    rest = effort.trained, effort.weights_bytes, effort.adapters, effort.temporary_bytes
    return Work(first, later, *rest)


def work_of(recording: Recording, setup: Setup, layers: int) -> Work:
    return work_on(effort_of(Read(recording), setup, layers), setup)


@dataclass(frozen=True)
class _Step:
    work: Work
    setup: Setup
    engine: Engine | None
    layers: int

    @property
    def ranks(self) -> int:
        return 1 if self.engine is None else self.engine.ranks

    @property
    def micro_batches(self) -> int:
        return self.setup.knobs.gradient_accumulation_steps

    @cached_property
    def gradient_bytes(self) -> int:
        """As they are sent and kept: an engine that divides has them in half."""
        width = self.setup.weight_bytes if self.setup.trains_all else self.setup.adapter_bytes
        return self.work.trained * width

    @cached_property
    def state_bytes(self) -> int:
        """Of all ranks together."""
        states = sum(state_bytes(OPTIMIZERS.get(self.setup.knobs.optim, OPTIMIZERS["adamw_torch"]), self.work.trained))
        return states + (0 if is_plain(self.engine) else FLOAT32 * self.work.trained)

    def kernels(self, name: str) -> float:
        """Seconds of a kind in all micro-batches."""
        first, later = getattr(self.work.first, name), getattr(self.work.later, name)
        return float(first + (self.micro_batches - 1) * later)

    @property
    def accumulating(self) -> float:
        """Gradients that are added to: both are read, and one is written."""
        grown = 3 * self.gradient_bytes * (self.micro_batches - 1) if self.setup.trains_all else 0
        return grown / moving(self.setup.rates)

    @property
    def optimizer(self) -> float:
        part = 1 if is_plain(self.engine) else self.ranks
        weights = self.gradient_bytes
        moved = (CLIPPED + STEPPED) * self.gradient_bytes + 2 * (weights + self.state_bytes)
        return (moved / part + self.work.temporary_bytes) / moving(self.setup.rates) + STEP_SECONDS

    @cached_property
    def sent(self) -> Sent:
        weights, gradients, states = self.work.weights_bytes, self.gradient_bytes, self.state_bytes
        passes = passes_of(self.setup.task)
        sizes = Sizes(weights, gradients, states, self.layers, self.work.adapters, passes)
        return sent(self.engine, sizes, self.micro_batches)

    @property
    def sending(self) -> float:
        return exposed(self.sent, self.setup.rates, self.work.later.seconds, self.micro_batches)


def step_seconds(work: Work, setup: Setup, engine: Engine | None = None) -> float:
    """As `pace_of` has it, without its words."""
    step = _Step(work, setup, engine, setup.model.layers)
    computing = sum(step.kernels(name) for name in ("products", "attention", "moving", "again", "waiting"))
    plain = computing + step.accumulating + step.optimizer + (0.0 if engine is None else step.sending)
    return plain * correction(setup.rates.ratios)


def pace_of(work: Work, setup: Setup, engine: Engine | None = None) -> Pace:
    step = _Step(work, setup, engine, setup.model.layers)
    shares = tuple(_corrected(tuple(_shares(step)), setup.rates.ratios))
    seconds = sum(share.seconds for share in shares)
    spread = spread_of(work.later.busy, engine, setup.rates)
    tokens = setup.tokens * step.micro_batches * step.ranks
    return Pace(
        shares=shares,
        low=seconds * (1 - spread.faster),
        high=seconds * (1 + spread.slower),
        tokens=tokens,
        operations=step.kernels("operations"),
        sent_bytes=step.sent.in_a_step(step.micro_batches),
        host_bytes=step.sent.host,
        launch_seconds=step.kernels("launch") * correction(setup.rates.ratios),
        correction=correction(setup.rates.ratios),
        rates_measured=setup.rates.measured,
    )


def _corrected(shares: Sequence[Share], ratios: Sequence[float]) -> Iterator[Share]:
    yield from shares
    if ratios:
        seconds = sum(share.seconds for share in shares) * (correction(ratios) - 1)
        yield Share("as runs here took", seconds, "measured", words(ratios))


def _attended(setup: Setup) -> str:
    if setup.knobs.packing:
        return "every token with all of its micro-batch, also of other rows"
    return "every token with every one before it"


def _shares(step: _Step) -> Iterator[Share]:
    rates, count = step.setup.rates, step.micro_batches
    here = f", measured on this machine on {rates.measured[:10]}" if rates.measured else ""
    flops = step.kernels("operations") - step.kernels("again_operations")
    reached = MATMUL * step.setup.half
    times = f"{count} × " if count > 1 else ""
    why = f"{flops / 1e12:,.1f} TFLOP with attention's, at most {reached / 1e12:,.0f} TFLOP/s{here}"
    yield Share("matrix products", step.kernels("products"), rates.half_basis, why)
    yield Share("attention", step.kernels("attention"), "derived", _attended(step.setup))
    moved = step.kernels("moved_bytes")
    why = f"{moved / 1e9:,.0f} GB read and written, recomputing too, at {rates.memory * MEMORY / 1e9:,.0f} GB/s{here}"
    yield Share("other kernels", step.kernels("moving") + step.accumulating, "derived", why)
    if step.work.first.again:
        yield Share("recomputing", step.kernels("again"), "derived", f"{times}what checkpointed layers did forward")
    if step.kernels("waiting"):
        basis: Basis = "measured" if rates.measured else "guessed"
        yield Share("waiting for Python", step.kernels("waiting"), basis, f"kernels are shorter than their start{here}")
    yield Share(STEPPING, step.optimizer, "derived", f"{step.work.trained:,} parameters, clipped and stepped")
    if step.engine is not None:
        timed = here if rates.peer_basis == "measured" else ""
        yield Share("waiting for links", step.sending, "derived", f"what is sent and nothing hides{timed}")
