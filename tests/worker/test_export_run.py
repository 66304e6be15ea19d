"""A run of a tiny model, trained for real and exported as a user does."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from finefit import api
from finefit.errors import BadInput, RunFailed
from finefit.nouns.exported import Exported
from finefit.nouns.sampling import Sampling
from finefit.run import worker
from finefit.show import exported, live
from hub import serving

pytestmark = pytest.mark.xdist_group("export run")


@pytest.fixture(scope="module")
def run(model_folder: Path, data: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    job = {"model": str(model_folder), "data": data["train"], "gpu": "cpu", "max_steps": 3, "learning_rate": 1e-2}
    job |= {"method": "lora", "output_dir": str(folder / "run"), "lora_r": 4}
    (folder / "job.yaml").write_text(json.dumps(job))
    api.train(str(folder / "job.yaml"), {}, False, live.Lines())
    return folder / "run"


def kill_while_it_merges(run: Path, target: Path) -> None:
    command = [sys.executable, "-m", "finefit", "export", str(run), "-o", str(target)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(target.parent.glob(f".partial-{target.name}-*/model.safetensors")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not target.exists()
    _, left = psutil.wait_procs(workers, timeout=120)
    assert not left


@pytest.fixture(scope="module")
def done(run: Path) -> Exported:
    """Made after a first attempt was killed."""
    target = run.parent / "exports" / "out"
    kill_while_it_merges(run, target)
    return api.export(str(run), target)


def test_a_kill_leaves_no_export(done: Exported) -> None:
    """Of the whole program; its worker ends too, and the next attempt is whole, and alone."""
    assert [path.name for path in Path(done.folder).parent.iterdir()] == ["out"]


def test_an_export_is_a_model_like_any_other(run: Path, done: Exported) -> None:
    """The same answers from the run and from its export, which finefit itself takes as a model."""
    assert 0 <= done.difference.max_difference <= done.tolerance
    assert done.rows == 2
    said = [api.generate(place, ["w5 w6", "w1"], Sampling(6)) for place in (str(run), done.folder)]
    assert said[0] == said[1]


def test_an_export_is_pushed_whole_once_it_has_passed(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the real client; whoever may not write is told before anything is merged."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        said: list[str] = []
        with pytest.raises(BadInput, match="does not take the token"):
            api.export(str(run), tmp_path / "out", push_to_hub="me/tuned", say=said.append)
        assert (said, hub.models, list(tmp_path.iterdir())) == ([], {}, [])
        hub.users["hf_secret"] = {"name": "me", "orgs": [], "auth": {"accessToken": {"role": "write"}}}
        done = api.export(str(run), tmp_path / "out", push_to_hub="tuned", say=said.append)
    repository = hub.models["me/tuned"]
    pushed = repository.commits[repository.head]
    assert repository.private
    assert done.pushed == f"{hub.url}/me/tuned/commit/{repository.head}"
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= pushed.keys()
    assert pushed == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    places = [path for path in [*run.rglob("*"), *(tmp_path / "out").rglob("*")] if path.is_file()]
    assert not [path for path in places if b"hf_secret" in path.read_bytes()]
    assert said.index("reading it back, and comparing it with what was trained") < said.index(
        f"pushing {len(pushed)} files to me/tuned"
    )


def test_the_card_has_the_receipts_figures(run: Path, done: Exported) -> None:
    """And no path of this machine."""
    card = (Path(done.folder) / "README.md").read_text()
    receipt = api.read_receipt(str(run))
    assert f"{receipt.train_loss_first:.4f} → {receipt.train_loss_last:.4f}" in card
    assert f"at most {done.difference.max_difference:.3g} apart" in card
    assert "| rows | 22," in card
    assert str(run.parent.parent) not in card
    assert exported.lines_of(done)[0].startswith(done.folder)


def test_a_worker_that_dies_leaves_nothing(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its half is swept, and why it died is told."""
    (tmp_path / "fake.py").write_text(
        "import json, pathlib, sys\n"
        "folder = json.load(open(sys.argv[2]))['folder']\n"
        "pathlib.Path(folder, 'model.safetensors').write_bytes(b'half')\n"
        "sys.exit('MemoryError: no more')\n"
    )
    monkeypatch.setattr(worker, "COMMAND", (sys.executable, str(tmp_path / "fake.py")))
    with pytest.raises(RunFailed, match="no more"):
        api.export(str(run), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["fake.py"]


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        ({"original_base": True}, "trained beside the original weights"),
        ({"as_gguf": True}, "converter is not here"),
        ({"folder": "."}, "not empty"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is(
    run: Path, monkeypatch: pytest.MonkeyPatch, words: dict[str, Any], fragment: str
) -> None:
    """Bad input, and no folder."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.chdir(run)
    folder = Path(words.pop("folder", "new"))
    with pytest.raises(BadInput, match=fragment):
        api.export(str(run), folder, **words)
    assert not Path("new").exists()


def test_a_file_is_answered_whole(run: Path, data: dict[str, str], tmp_path: Path) -> None:
    """In its order, with its own keys, before and after side by side; nothing of it is there before the end."""
    output = tmp_path / "out.jsonl"
    asked = Sampling(6)
    done = api.generate_file(str(run), Path(data["eval"]), output, asked, compared=True, batch=2)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    prompts = [json.loads(line)["messages"] for line in Path(data["eval"]).read_text().splitlines()]
    assert [row["messages"] for row in rows] == prompts
    assert done.rows == len(rows) == 5
    assert [row["base_answer"] for row in rows] != [row["answer"] for row in rows]
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
    with pytest.raises(BadInput, match="is there already"):
        api.generate_file(str(run), Path(data["eval"]), output, asked)
