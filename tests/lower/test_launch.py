"""What starts a plan's script."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from finefit import api
from finefit.errors import BadInput
from finefit.lower.launch import DEEPSPEED, TRAIN, launch_file
from finefit.nouns.engine import DDP, FSDP2
from finefit.world.gpus import machine_named

SKYPILOTS = {
    "": {"name", "workdir", "num_nodes", "resources", "setup", "run"},
    "resources": {"accelerators"},
}
"""Of docs.skypilot.co, reference/yaml-spec, and sky/utils/schemas.py."""
DSTACKS = {
    "": {"type", "name", "nodes", "python", "files", "working_dir", "commands", "resources"},
    "resources": {"gpu"},
}
"""Of dstack's core/models/configurations.py and resources.py."""


def started(text: str, folder: Path, **environment: str) -> list[str]:
    """What torchrun is told, by doubles of the commands that a cluster has."""
    doubles = {
        "torchrun": 'printf "%s\\n" "$@"',
        "scontrol": 'printf "first\\nsecond\\n"',
        "srun": 'exec "$@"',
    }
    (folder / "bin").mkdir()
    for name, line in doubles.items():
        (folder / "bin" / name).write_text(f"#!/bin/bash\n{line}\n")
        (folder / "bin" / name).chmod(0o755)
    script = folder / "start.sh"
    script.write_text(text)
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(script)], env={"PATH": path, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


GPU = machine_named("H100-80GB").gpu


def text_of(to: Any, nodes: int) -> str:
    assert GPU is not None
    return launch_file(to, GPU, FSDP2(16), 16 // nodes, nodes)


TOLD = "--nnodes 2 --nproc_per_node 8 --node_rank 1 --master_addr first --master_port 29500 train.py"
WORDS = TOLD.split()


def test_torchrun_is_told_of_every_node(tmp_path: Path) -> None:
    """By variables on many; on one without any."""
    (tmp_path / "two").mkdir()
    (tmp_path / "one").mkdir()
    assert started(text_of("torchrun", 2), tmp_path / "two", NODE_RANK="1", MASTER_ADDR="first") == WORDS
    alone = "--nnodes 1 --nproc_per_node 16 --node_rank 0 --master_addr localhost --master_port 29500 train.py"
    assert started(text_of("torchrun", 1), tmp_path / "one") == alone.split()


def test_slurm_starts_torchrun_on_every_node(tmp_path: Path) -> None:
    """The first of its nodes is where they meet."""
    text = text_of("slurm", 2)
    slurm = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_NNODES": "2", "SLURM_NODEID": "1"}
    assert started(text, tmp_path, **slurm) == WORDS
    options = [line.removeprefix("#SBATCH --") for line in text.splitlines() if line.startswith("#SBATCH")]
    assert options[1:4] == ["nodes=2", "ntasks-per-node=1", "gpus-per-node=8"]


def test_skypilot_starts_torchrun_on_every_node(tmp_path: Path) -> None:
    """With its own keys and variables alone."""
    said = yaml.safe_load(text_of("skypilot", 2))
    assert (set(said), set(said["resources"])) == (SKYPILOTS[""], SKYPILOTS["resources"])
    assert (said["num_nodes"], said["resources"]["accelerators"]) == (2, "H100:8")
    sky = {"NODE_IPS": "first\nsecond", "NUM_NODES": "2", "NUM_GPUS_PER_NODE": "8", "NODE_RANK": "1"}
    assert started(said["run"], tmp_path, **{f"SKYPILOT_{name}": value for name, value in sky.items()}) == WORDS


def test_dstack_starts_torchrun_on_every_node(tmp_path: Path) -> None:
    """With its own keys and variables alone."""
    said = yaml.safe_load(text_of("dstack", 2))
    assert (set(said), set(said["resources"])) == (DSTACKS[""], DSTACKS["resources"])
    assert (said["type"], said["nodes"], said["resources"]["gpu"]) == ("task", 2, "H100:80GB:8")
    assert isinstance(said["python"], str)
    dstack = {"NODES_NUM": "2", "GPUS_PER_NODE": "8", "NODE_RANK": "1", "MASTER_NODE_IP": "first"}
    told = {f"DSTACK_{name}": value for name, value in dstack.items()}
    assert started(said["commands"][-1], tmp_path, **told) == WORDS


@pytest.mark.parametrize(
    ("gpu", "sky", "dstack"),
    [
        ("RTX4090", "RTX4090:2", "RTX4090:2"),
        ("A100-80GB", "A100-80GB:2", "A100:80GB:2"),
        ("A100-40GB", "A100:2", "A100:40GB:2"),
        ("V100-16GB", "V100:2", "V100:16GB:2"),
        ("T4", "T4:2", "T4:2"),
        ("A6000", "A6000:2", "A6000:2"),
        ("A10G", "A10G:2", "A10G:2"),
    ],
)
def test_cards_have_the_names_of_the_clouds(gpu: str, sky: str, dstack: str) -> None:
    """Without maker, series and form factor; memory where there are two sizes."""
    card = machine_named(gpu).gpu
    assert card is not None
    assert yaml.safe_load(launch_file("skypilot", card, DDP(2), 2, 1))["resources"]["accelerators"] == sky
    assert yaml.safe_load(launch_file("dstack", card, DDP(2), 2, 1))["resources"]["gpu"] == dstack


def test_what_is_installed_is_what_the_project_says() -> None:
    """The extras `train` and `deepspeed`."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert (list(TRAIN), [DEEPSPEED]) == (extras["train"], extras["deepspeed"])


@pytest.fixture
def job(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text("")
    (tmp_path / "job.yaml").write_text("model: meta-llama/Llama-3.2-1B\ngpu: 16xH100-80GB\nzero_stage: 3\n")
    return tmp_path / "job.yaml"


def test_a_launch_lies_beside_its_job(job: Path) -> None:
    """And asks for the engine's library; rows may come later."""
    path, line = api.launch(job, "skypilot", 2)
    assert (path, line) == (job.parent / "sky.yaml", "sky launch sky.yaml")
    assert DEEPSPEED in path.read_text()
    assert api.launch(job, "skypilot", 4)[0] == path


def test_a_launch_that_means_nothing_is_refused(job: Path) -> None:
    """All that is wrong with it at once, and nothing is written."""
    (job.parent / "train.py").unlink()
    with pytest.raises(BadInput) as refused:
        api.launch(job, "slrum", 3)
    said = [str(problem) for problem in refused.value.problems]
    assert len(said) == 3
    for problem, fragment in zip(said, ["did you mean 'slurm'?", "not divided by 3", "finefit plan"], strict=True):
        assert fragment in problem
    assert [path.name for path in job.parent.iterdir()] == ["job.yaml"]
