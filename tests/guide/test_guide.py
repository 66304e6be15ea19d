"""A whole guide of a small model of the atlas, without any rehearsal."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from finefit import api
from finefit.guide.blocks import Block, Chart, Code, Document, Heading, Quantity, Table
from finefit.guide.html import html
from finefit.guide.markdown import markdown
from finefit.guide.parts import at_peak
from finefit.nouns.job import Job
from finefit.world.jobs import read_job

pytestmark = pytest.mark.xdist_group("guide")

MODEL = "meta-llama/Llama-3.2-1B"
SECTIONS = (
    "Model overview", "Memory by component", "Memory of each GPU with ZeRO", "GPUs in tiers", "Each GPU in detail",
    "Quick selection", "ZeRO stages: what they save and what they cost", "What each kind of work needs",
    "Larger and smaller models",
    "Minimum, typical, maximum", "Training on the CPU", "CPU cores, memory, disk and network", "Clouds and prices",
    "Tips, each with its effect", "Checking and monitoring", "Out of memory, and other trouble",
    "What these numbers rest on",
)  # fmt: skip
PARTS = (
    "In each precision",
    "With each method",
    "What each stage divides",
    "What each stage sends",
    "When to use which",
)


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Document]:
    """With an empty cache: what the atlas does not know is left out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FINEFIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        job = Job("meta-llama/Llama-3.2-3B", "", method="full", max_length=512)
        yield api.guide(job, gpus=("2xRTX4090", "RTX3060-12GB", "A100-80GB"), is_quick=True)


def under(document: Document, heading: str) -> list[Block]:
    """What stands below a heading, to the next of its level."""
    places = [n for n, one in enumerate(document.blocks) if isinstance(one, Heading) and one.text == heading]
    assert len(places) == 1, heading
    first = document.blocks[places[0]]
    assert isinstance(first, Heading)
    found = []
    for one in document.blocks[places[0] + 1 :]:
        if isinstance(one, Heading) and one.level <= first.level:
            break
        found.append(one)
    return found


def quantities(document: Document) -> Iterator[Quantity]:
    for block in document.blocks:
        if isinstance(block, Table):
            yield from (cell for row in block.rows for cell in row if isinstance(cell, Quantity))


def test_every_section_is_there(guide: Document) -> None:
    """Each of the list, once, in this order, and none is empty."""
    heads = [block.text for block in guide.blocks if isinstance(block, Heading) and block.level == 2]
    assert tuple(heads) == SECTIONS
    for name in (*SECTIONS, *PARTS):
        assert under(guide, name), name


def test_every_number_is_finite_and_has_a_unit(guide: Document) -> None:
    """A table's number is a quantity; what has no unit is a count that its row names."""
    found = list(quantities(guide))
    assert len(found) > 300
    for one in found:
        assert math.isfinite(one.value)
        assert one.high is None or math.isfinite(one.high)
        assert one.high is None or one.high >= one.value
    assert {one.value for one in found if not one.unit} <= {3072.0, 128256.0} | set(map(float, range(50)))
    for block in guide.blocks:
        if isinstance(block, Table):
            assert not [cell for row in block.rows for cell in row if isinstance(cell, str) and _is_number(cell)]


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"[\d.,]+", text))


def test_states_fall_with_the_stage(guide: Document) -> None:
    """Each stage divides no less than the one before, and more GPUs never keep more each: states, and whole devices."""
    states = next(block for block in under(guide, "What each stage divides") if isinstance(block, Table))
    whole = next(block for block in under(guide, "Method full") if isinstance(block, Table))
    for rows in (states.rows, whole.rows[1:]):
        sizes = [[cell.value for cell in row if isinstance(cell, Quantity) and cell.unit == "bytes"] for row in rows]
        for before, after in pairwise(sizes):
            assert all(less < more for less, more in zip(after, before, strict=True))
        for row in sizes[1:]:
            assert row == sorted(row, reverse=True)
            assert row[0] > row[-1]


def test_twice_the_model_takes_more(guide: Document) -> None:
    """Of models in order of their parameters, this guide's own among them. (It may be faster: small steps wait for the
    processor, as often as there are layers.)"""
    (found,) = (block for block in under(guide, "Larger and smaller models") if isinstance(block, Table))
    rows = [tuple(cell.value for cell in row if isinstance(cell, Quantity)) for row in found.rows]
    assert "meta-llama/Llama-3.2-3B" in {row[0] for row in found.rows}
    assert rows == sorted(rows)
    assert len(rows) >= 4
    for smaller, larger in combinations(rows, 2):
        if larger[0] >= 2 * smaller[0]:
            assert larger[1] > smaller[1]


def test_ready_files_are_jobs(guide: Document, tmp_path: Path) -> None:
    """Each is read without a problem, and its batches multiply."""
    files = [block.text for block in under(guide, "Each GPU in detail") if isinstance(block, Code)]
    assert len(files) == 3
    (tmp_path / "train.jsonl").write_text('{"messages": []}\n')
    for text in files:
        path = tmp_path / "job.yaml"
        path.write_text(text)
        job, notes = read_job(path)
        assert job.model == "meta-llama/Llama-3.2-3B"
        assert not notes
        assert job.per_device_train_batch_size is not None


def test_markdown_and_html_tell_the_same(guide: Document) -> None:
    """Every heading, row and code block of the document is in both; every drawing in HTML."""
    plain, page = markdown(guide), html(guide)
    tables = [block for block in guide.blocks if isinstance(block, Table)]
    assert page.count("<table>") == len(tables)
    assert page.count("<svg") == sum(isinstance(block, Chart) for block in guide.blocks) > 3
    for block in guide.blocks:
        if isinstance(block, Heading):
            assert f"# {block.text}" in plain
            assert f">{block.text}</h{block.level}>" in page
    rows = sum(len(block.rows) for block in tables)
    assert sum(line.startswith("| ") for line in plain.splitlines()) >= rows + len(tables)
    for one in quantities(guide):
        assert str(one) in page
        assert str(one) in plain


def test_components_are_the_ledger() -> None:
    """Every line is in one component, so they add up to what is allocated."""
    for method in ("full", "lora", "qlora4"):
        job = Job(MODEL, "", method=method, max_length=512)  # type: ignore[arg-type]
        knobs = api.plan(Job(MODEL, "", method="lora", gpu="RTX4090", max_length=512)).choice
        assert knobs is not None
        one = api.estimate(MODEL, method=api.method_of(job), knobs=knobs.knobs, gpu="A100-80GB")
        assert sum(at_peak(one.ledger).values()) == one.ledger.peak_bytes


def test_a_quick_guide_says_what_it_leaves_out(guide: Document) -> None:
    """Nothing was rehearsed for it, and each gap is named."""
    plain = markdown(guide)
    assert "Written with `--quick`" in plain
    assert plain.count("does without rehearsals") > 3
