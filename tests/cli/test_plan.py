"""`finefit plan` and `launch`: what they write, and what they say of it."""

from __future__ import annotations

import json

import pytest

from .conftest import Cli

FILES = {"job.yaml", "train.py", "launch.txt"}


def test_a_plan_writes_its_files_where_it_is_told(cli: Cli) -> None:
    """And says how to start; nothing is written where nothing is asked for."""
    assert cli("plan", "gpt2", "--gpu", "RTX4090").code == 0
    assert list(cli.folder.iterdir()) == []
    said = cli("plan", "gpt2", "--gpu", "RTX4090", "-o", "out")
    assert said.code == 0, said.err
    assert {path.name for path in (cli.folder / "out").iterdir()} - {".finefit-files"} == FILES
    assert "start: cd out && python train.py" in said.out
    assert "fill in `data`" in said.out


def test_json_has_every_file(cli: Cli) -> None:
    """As text where none is written, else as a path; and on stdout nothing else."""
    words = ("plan", "gpt2", "--gpu", "RTX4090", "--json")
    texts = json.loads(cli(*words).out)["files"]
    paths = json.loads(cli(*words, "--output-dir", "out").out)["files"]
    assert texts.keys() == paths.keys() == FILES
    assert {name: (cli.folder / path).read_text() for name, path in paths.items()} == texts


def test_a_plan_of_its_own_job_needs_no_rows(cli: Cli) -> None:
    """`finefit train` does: it says which line is missing."""
    cli("plan", "gpt2", "--gpu", "RTX4090", "-o", "out")
    assert cli("plan", "out/job.yaml").code == 0
    said = cli("train", "out/job.yaml")
    assert said.code == 2
    assert "job.yaml: data: is missing" in said.err


def test_files_of_others_are_not_replaced(cli: Cli) -> None:
    """Bad input, with every file that is in the way; a second plan of ours replaces the first."""
    (cli.folder / "train.py").write_text("mine")
    said = cli("plan", "gpt2", "--gpu", "RTX4090", "-o", ".")
    assert said.code == 2
    assert "train.py: would be replaced" in said.err
    assert [path.name for path in cli.folder.iterdir()] == ["train.py"]
    for length in ("512", "1024"):
        assert cli("plan", "gpt2", "--gpu", "RTX4090", "--max-length", length, "-o", "out").code == 0


def test_nothing_is_written_of_what_does_not_fit(cli: Cli) -> None:
    """There is no choice that it would be."""
    cli.api.device_bytes = (1, 2, 30)
    assert cli("plan", "gpt2", "--gpu", "RTX4090", "-o", "out").code == 3
    assert list(cli.folder.iterdir()) == []


@pytest.mark.parametrize("as_json", [False, True])
def test_a_launch_lies_beside_the_plan(cli: Cli, as_json: bool) -> None:
    """And says the line that hands it over."""
    cli("plan", "meta-llama/Llama-3.2-1B", "--gpu", "RTX4090", "-o", "out")
    said = cli("launch", "out/job.yaml", "--to", "slurm", *(["--json"] if as_json else []))
    assert said.code == 0, said.err
    assert (cli.folder / "out" / "slurm.sbatch").is_file()
    if as_json:
        assert json.loads(said.out)["command"] == "sbatch slurm.sbatch"
    else:
        assert "start: cd out && sbatch slurm.sbatch" in said.out
