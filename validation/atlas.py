"""Builds the atlas: tapes of popular models, which ship with the package (`make atlas`).

A tape that is in the atlas already only gets what it lacks, so that a build that was stopped goes on; `--again` builds
all of them. A tape that is not trusted is not shipped: such a recipe is rehearsed when it is asked for.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from finefit.catalog.atlas import tape_bytes
from finefit.errors import FinefitError, Interrupted
from finefit.lower.images import cannot_show
from finefit.nouns.engine import FSDP2
from finefit.nouns.images import Images
from finefit.nouns.job import Job
from finefit.nouns.knobs import Checkpointing, Knobs
from finefit.nouns.loop import Loop
from finefit.nouns.method import Full, LoRA, Method, QLoRA, name_of
from finefit.rehearsal.build import Built, build
from finefit.rehearsal.cache import installed
from finefit.rehearsal.recipe import Recipe
from finefit.search.choice import choose, suited
from finefit.search.engine import of_one_rank
from finefit.tape.tape import Tape
from finefit.tape.written import decode, encode
from finefit.world.gpus import machine_named
from finefit.world.models import find_model

LIST = Path(__file__).parent / "atlas.csv"
FOLDER = Path(str(files("finefit.catalog"))) / "atlas"
GPU = "A100-80GB"
"""Of the kind that most cards are: bfloat16, and torch's flash attention."""
METHODS: dict[str, Method] = {"full": Full(), "lora": LoRA(), "qlora4": QLoRA(), "qlora8": QLoRA(8)}
IMAGE = Images(1024, 1024)
"""Each size of an image has tapes of its own, and each micro-batch: the smallest."""
SHAPES: tuple[Checkpointing, ...] = ("all", 0, 12)
"""Layers checkpointed: all, none, the first ones: some of each kind, also where the sixth is of another."""


def recipes(name: str, method: Method, *, is_divided: bool = False, gpu: str = GPU) -> Iterator[Recipe]:
    """What a user gets who pins nothing else, and says how large images are where the model sees; `is_divided`: as
    DeepSpeed and FSDP2 compute it on each rank."""
    model, machine = find_model(name), machine_named(gpu)
    images = None if cannot_show(model) else IMAGE
    for checkpointing in SHAPES:
        job = Job(model=name, data="", max_length=1024, gradient_checkpointing=checkpointing or "none")
        if images:
            job = replace(job, max_length=2048, per_device_train_batch_size=1)
        knobs, _ = suited(choose(job, machine), model)
        alone, loop = of_one_rank(FSDP2(1) if is_divided else None, knobs, Loop())
        recipe = Recipe(model, method, alone, machine, loop, images=images)
        if recipe.recorded or checkpointing in ("all", 0):
            yield recipe


def of_the_tour() -> Recipe:
    """Of a published run that docs/tour.md begins with (FMSA-0013 to 0016 of docs/accuracy.md)."""
    model, machine = find_model("mistralai/Mistral-7B-v0.1"), machine_named(GPU)
    knobs = Knobs(
        max_length=4096, per_device_train_batch_size=8, mixed_precision="no", optim="adamw_torch", loss="full",
        attn_implementation="flash_attention_2",
    )  # fmt: skip
    return Recipe(model, Full(), suited(knobs, model)[0], machine)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help="all of atlas.csv where none is named")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--divided", action="store_true", help="for engines that divide the model, too")
    parser.add_argument("--gpu", default=GPU, help="of another kind: T4 stands for those without flash attention")
    parser.add_argument("--again", action="store_true", help="build what is there already, too")
    arguments = parser.parse_args()
    names = arguments.models or [row["model"] for row in csv.DictReader(LIST.read_text().splitlines())]
    FOLDER.mkdir(exist_ok=True)
    for name in names:
        for method in arguments.methods.split(","):
            for is_divided in (False, True) if arguments.divided else (False,):
                wanted = recipes(name, METHODS[method], is_divided=is_divided, gpu=arguments.gpu)
                _build(name, list(wanted), arguments.again)
    if not arguments.models:
        tour = of_the_tour()
        _build(tour.model.id, [tour], arguments.again)


def _build(name: str, wanted: list[Recipe], again: bool) -> None:
    started = time.monotonic()
    shipped = {recipe.key: tape_bytes(recipe.key) for recipe in wanted}
    usable = {r.key: _of_today(data, r) for r in wanted if (data := shipped[r.key])}
    known = {} if again else {key: tape for key, tape in usable.items() if tape is not None}
    try:
        found = build(wanted, known)
    except Interrupted:
        raise
    except FinefitError as failed:
        print(f"{name} {name_of(wanted[0].method)}: {failed}", flush=True)
        return
    for built in found:
        if encode(built.tape) != shipped[built.recipe.key]:
            _keep(name, built)
    print(f"{name} {name_of(wanted[0].method)}: {time.monotonic() - started:.0f} s", flush=True)


def _of_today(data: bytes, recipe: Recipe) -> Tape | None:
    """With the bounds that are known now; None where other versions recorded it: a tape has one stack."""
    tape, here = decode(data), installed()
    if any(here.get(name, version) != version for name, version in tape.stack.items()):
        return None
    histories = tuple(replace(history, widths=recipe.bounds.widths) for history in tape.histories)
    return replace(tape, bounds=recipe.bounds, histories=histories)


def _keep(name: str, built: Built) -> None:
    recipe = built.recipe
    method = name_of(recipe.method) + ("" if recipe.knobs.mixed_precision != "no" else "-divided")
    method += f"-{recipe.images.width}x{recipe.images.height}" if recipe.images else ""
    file = f"{name.rpartition('/')[2].lower()}.{method}.{recipe.shape}.{recipe.key}.xz"
    if built.is_trusted:
        for older in FOLDER.glob(f"*.{recipe.key}.xz"):  # perhaps under another model's name
            file = older.name
        (FOLDER / file).write_bytes(encode(built.tape))
    else:
        histories = [(len(history.points), history.formulas is not None) for history in built.tape.histories]
        print(f"  not trusted: {file}: {histories}, lost {built.lost}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except Interrupted:
        sys.exit("stopped: what is done is kept")
