"""What a guide asks, over answers that are noted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from finefit import api
from finefit.api.guiding import Verbs
from finefit.guide.subject import Missing, Subject
from finefit.guide.tiers import tier_of
from finefit.nouns.estimate import Estimate
from finefit.nouns.job import Job, MethodName
from finefit.nouns.matrix import Row
from finefit.nouns.offer import Offer
from finefit.nouns.planned import Planned
from finefit.search.choice import choose
from finefit.world.gpus import machine_named
from finefit.world.models import find_model

MODEL = "HuggingFaceTB/SmolLM2-135M"


@dataclass
class Noted:
    """Estimates of the atlas on a card that it knows, under another's name; plans that weigh nothing."""

    fits: tuple[str, ...]
    asked: list[Job] = field(default_factory=list)

    def estimate(self, job: Job, *, rehearses: bool | None = None) -> Estimate | Missing:
        self.asked.append(job)
        knobs = choose(replace(job, gpu="A100-80GB"), machine_named("A100-80GB"))
        one = api.estimate(job.model, method=api.method_of(job), knobs=knobs, gpu="A100-80GB", rehearses=False)
        ledger = one.ledger
        assert ledger.device is not None
        device = ledger.device if job.method in self.fits else replace(ledger.device, high=1 << 50)
        return replace(one, ledger=replace(ledger, device=device))

    def plan(self, job: Job, methods: tuple[MethodName, ...], *, builds: bool) -> Planned | Missing:
        return Planned(machine_named(job.gpu), None, None, (), (), 0, 0, 0.0)

    def offers(self, gpu: str) -> tuple[Offer, ...]:
        return ()

    def matrix(self, job: Job, counts: tuple[int, ...], methods: tuple[MethodName, ...], rows: int) -> tuple[Row, ...]:
        return api.matrix(job, counts=counts, methods=methods, rows=rows).rows


def subject(*fits: str, method: MethodName = "full") -> Subject:
    job = Job(MODEL, "", method=method, max_length=4096, per_device_train_batch_size=2)
    return Subject(job, find_model(MODEL), ("T4",), Noted(fits))


def test_a_card_that_no_tape_knows_is_not_called_too_small() -> None:
    """In place of the search stands what takes the least of each method, and the guide says so."""
    about = subject("lora")
    planned = about.planned("T4")
    assert isinstance(planned, Planned)
    assert planned.choice is not None
    assert api.method_of(Job("", "", method="lora")) == planned.choice.method
    assert planned.choice.knobs.per_device_train_batch_size == 1
    assert planned.choice.knobs.gradient_checkpointing == "all"
    assert any("no tape" in note for note in planned.notes)


def test_what_needs_more_is_never_tried() -> None:
    """Below the method asked for, those that need less; nothing fits: what takes the least is named."""
    about = subject(method="lora")
    planned = about.planned("T4")
    assert isinstance(planned, Planned)
    assert planned.choice is None
    assert planned.nearest is not None
    assert isinstance(about.asks, Noted)
    assert [job.method for job in about.asks.asked if job.gpu == "T4"] == ["lora", "qlora4"]
    assert tier_of(about, planned) == "not recommended"


def test_a_question_is_asked_once() -> None:
    """However many sections ask it."""
    about = subject("full")
    job = about.with_method("lora")
    assert about.estimate(job) is about.estimate(job)
    assert isinstance(about.asks, Noted)
    assert about.asks.asked.count(job) == 1


def test_hours_grow_with_rows_and_epochs() -> None:
    """Steps are whole: twice the epochs take twice the time."""
    about = subject("full")
    once = about.hours(about.base)
    about.job = replace(about.job, num_train_epochs=2.0)
    twice = about.hours(about.base)
    assert once is not None
    assert twice is not None
    assert (twice.steps, twice.seconds) == (2 * once.steps, 2 * once.seconds)
    assert once.low < once.seconds < once.high


def test_tiers_are_those_of_the_matrix() -> None:
    """What a plan found with the allocator has the tier that the matrix gives the same cell."""
    cards = ("RTX4090", "RTX3060-12GB", "L40S", "H100-80GB")
    about = Subject(
        Job("llama-3.2-1b", "", method="lora", max_length=2048), find_model("llama-3.2-1b"), cards, Verbs(print, False)
    )
    of = {(row.gpu, row.method): row.tier for row in about.rows_of_matrix}
    plans = [planned for planned in map(about.planned, cards) if isinstance(planned, Planned)]
    tiers = [tier_of(about, planned) for planned in plans]
    assert tiers == [of[planned.machine.gpu.name, "lora"] for planned in plans if planned.machine.gpu]
    assert len(set(tiers)) > 1
