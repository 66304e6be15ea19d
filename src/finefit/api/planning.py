"""`plan`: the fastest recipe that fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from finefit.errors import BadInput, Problem
from finefit.nouns.job import Job, MethodName
from finefit.nouns.planned import Planned
from finefit.rehearsal.files import checked_files, read_as
from finefit.world.models import find_model

from .asked import machine_or_reference
from .fetching import rows_here
from .searching import Sought, search_for, sought


def plan(
    job: Job,
    *,
    methods: Sequence[MethodName] = (),
    progress: Callable[[str], None] | None = None,
    builds: bool = True,
) -> Planned:
    """`methods`: tried in this order; the job's own where none is named. Without `builds`, recipes that no tape knows
    are left out. Raises `BadInput`."""
    model = find_model(job.model, job.trust_remote_code)
    here = rows_here(job, progress or (lambda _: None))
    job = here.job
    machine, notes = machine_or_reference(job.gpu)
    files = checked_files(job) if job.data else None
    read = () if files is None else read_as(job, files)
    about = sought(job, model, machine, None if files is None else files.train, (*notes, *here.notes, *read))
    _refuse_long_rows(job, about)
    return search_for(about, methods or (job.method,), progress or (lambda _: None), builds=builds).planned()


def _refuse_long_rows(job: Job, about: Sought) -> None:
    lengths, limit = about.lengths, job.max_length or about.model.positions
    if lengths is None or limit is None or lengths.longest <= limit:
        return
    said, hint = (
        (f"max_length is {limit:,}", "no row is cut: a larger max_length")
        if job.max_length
        else (f"{about.model.id} has {limit:,} positions", "no row is cut: shorter rows")
    )
    where = f"{job.data}:{lengths.longest_line}"
    raise BadInput(Problem(f"the row has {lengths.longest:,} tokens, and {said}", where=where, hint=hint))
