"""`finefit calibrate`: a minute on this machine's device, kept and used."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    *,
    gpu: Annotated[
        str, typer.Option("--gpu", metavar="auto|cpu", help="auto: this machine's GPU, or the processor without one.")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Measure this machine's GPU: matrix products, memory, the start of kernels, context, links. About a minute.

    Nothing else should run meanwhile. What is predicted for this GPU then rests on it; FINEFIT_CALIBRATION=off passes
    over what was measured, and keeps nothing.
    """
    from finefit import api
    from finefit.show import calibration, json, live

    with live.working() as say:
        found, kept_at = api.calibrate(gpu, progress=say)
    if as_json:
        json.write(calibration.of_calibration(found, kept_at))
    else:
        calibration.show(found, kept_at)
