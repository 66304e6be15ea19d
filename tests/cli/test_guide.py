"""`finefit guide`."""

from __future__ import annotations

from finefit.guide.blocks import Document, Heading

from .conftest import Cli


def test_a_guide_is_written_as_its_name_says(cli: Cli) -> None:
    """Markdown or HTML; the GPUs, rows and epochs are what was asked for."""
    words = ("guide", "gpt2", "--gpu", "RTX4090, 2xA100-80GB", "--rows", "7", "--num-train-epochs", "2", "--quick")
    for name, start in (("a.md", "# t"), ("a.html", "<!doctype html>")):
        assert cli(*words, "-o", name).code == 0
        assert (cli.folder / name).read_text().startswith(start)
    assert cli.api.asked["gpus"] == ["RTX4090", "2xA100-80GB"]
    assert (cli.api.asked["rows"], cli.api.asked["is_quick"]) == (7, True)
    assert cli.api.asked["job"].num_train_epochs == 2
    assert Document("t", (Heading("h"),)) == cli.api.document


def test_another_kind_of_file_is_refused_before_anything_is_computed(cli: Cli) -> None:
    """By name."""
    said = cli("guide", "gpt2", "-o", "a.pdf")
    assert said.code == 2
    assert "a.pdf" in said.err
    assert not cli.api.asked


def test_a_guide_has_to_be_put_somewhere(cli: Cli) -> None:
    """Without a file there is a message, and exit code 2."""
    assert cli("guide", "gpt2").code == 2
