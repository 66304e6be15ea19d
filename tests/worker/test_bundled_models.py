"""What transformers builds from the bundled configurations, on the meta device."""

from __future__ import annotations

from typing import Any

import pytest

from finefit.catalog.models import model_named, rows

every_row = pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)


def config_of(name: str) -> dict[str, Any]:
    model = model_named(name)
    assert model is not None
    return dict(model.config)


@every_row
def test_it_builds_with_the_parameters_of_its_row(row) -> None:
    """Every bundled configuration builds, and has the parameters that its row says."""
    import torch

    from finefit.worker.build import empty_model, read_config

    orders = {
        "folder": None,
        "config": config_of(row.name),
        "dtype": "bfloat16",
        "attn_implementation": "eager",  # the one that every architecture has; parameters do not depend on it
        "quantization": None,
        "trust_remote_code": False,
    }
    model = empty_model(orders, read_config(orders))
    assert sum(parameter.numel() for parameter in model.parameters()) == row.parameters
    assert all(parameter.device == torch.device("meta") for parameter in model.parameters())


@every_row
def test_what_a_layer_is_stands_in_the_file(row) -> None:
    """Where layers differ in attention, the file says which: finefit reads it without transformers."""
    from finefit.worker.bends.config_dict import config_from_dict

    config = config_of(row.name)
    kinds = getattr(config_from_dict(config).get_text_config(), "layer_types", None) or []
    written = (config.get("text_config") or config).get("layer_types")
    assert written == kinds if len(set(kinds)) > 1 else written in (None, kinds)
