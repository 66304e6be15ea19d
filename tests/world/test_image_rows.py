"""Rows that show images: which, how many, of what size, and what is wrong with them."""

from __future__ import annotations

import base64
import os
import sys
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finefit.errors import BadInput
from finefit.nouns.formats.images import refs_of, wrong_with_images
from finefit.world.image_files import Looks, Unreadable, size_of
from finefit.world.rows import check_rows, scan
from pictures import picture, png, row, said, write

Image = pytest.importorskip("PIL.Image")

PLACE = {"type": "image"}
TEXT = {"type": "text", "text": "a"}


def own(image: Any) -> dict[str, Any]:
    return {"type": "image", "image": image}


def test_every_form_shows_its_images_in_order(tmp_path: Path) -> None:
    """Beside the messages or in them, one or several, a path or bytes: the sizes are those of the files."""
    wide, tall = picture(tmp_path, 40, 20), picture(tmp_path, 20, 60)
    text = base64.b64encode(png(30, 30)).decode()
    plain = {"messages": [said("a"), said("b", "assistant")]}
    rows = {
        "plain text": (plain, []),
        "no images": (row("a"), []),
        "null": (plain | {"images": None, "image": None}, []),
        "paths": (row("a", wide, tall), [(40, 20), (20, 60)]),
        "one": (plain | {"image": wide}, [(40, 20)]),
        "an object with a path": (row("a", {"path": tall, "bytes": None}), [(20, 60)]),
        "an object with bytes": (row("a", {"path": "x.png", "bytes": text}), [(30, 30)]),
        "places": (row([PLACE, TEXT, PLACE], tall, wide), [(20, 60), (40, 20)]),
        "in the message": (row([own(wide), TEXT]), [(40, 20)]),
        "a data URL": (row([own(f"data:image/png;base64,{text}")]), [(30, 30)]),
        "both": (row([own(wide), TEXT, PLACE], tall), [(40, 20), (20, 60)]),
        "filled up by Arrow": (
            row([{**PLACE, "text": None, "image": None}, {**TEXT, "image": None}], tall),
            [(20, 60)],
        ),
        "within the folder": (row("a", str(tmp_path / wide), "x/../" + tall), [(40, 20), (20, 60)]),
    }
    path = write(tmp_path / "rows.jsonl", *(each for each, _ in rows.values()))
    assert check_rows(path, blind="").shown == tuple(tuple(sizes) for _, sizes in rows.values())


BAD = {
    "missing": (row("a", "nowhere.png"), "nowhere.png cannot be read: No such file"),
    "no image": (row("a", "rows.jsonl"), "rows.jsonl is no image that Pillow knows"),
    "a folder": (row("a", ""), "cannot be read: Is a directory"),
    "absolute": (row("a", "/etc/hostname"), "/etc/hostname lies outside of"),
    "above": (row("a", "../x.png"), "../x.png lies outside of"),
    "on the network": (row("a", "https://example.com/x.png"), "nothing is downloaded"),
    "a number": (row("a", 3), "an image is a number, not a path"),
    "nothing": (row("a", {"path": None}), "neither `path` nor `bytes`"),
    "no base64": (row("a", {"bytes": "%"}), "not base64"),
    "bytes of nothing": (row("a", {"bytes": "AAAA"}), "in the row is no image"),
    "a list of numbers": (row("a", {"bytes": [1, 2]}), "bytes of an image are a list"),
    "no list": (row("a") | {"images": "x.png"}, "`images` is text, not a list"),
    "image and images": (row("a", "x.png", image="y.png"), "both `image` and `images`"),
    "more places": (row([PLACE, PLACE, TEXT], "x.png"), "1 image beside the messages, and 2 places"),
    "fewer places": (row([TEXT], "x.png"), "1 image beside the messages, and 0 places"),
    "places twice": (
        {"messages": [said([PLACE]), said("again"), said("b", "assistant")], "images": ["x.png"]},
        "1 image beside the messages, and 2 places",
    ),
    "no user": ({"messages": [said("b", "assistant")], "images": ["x.png"]}, "0 places"),
    "a tool's": (
        {"messages": [said([PLACE], "tool"), said("b", "assistant")], "images": ["x.png"]},
        "the role tool shows an image",
    ),
    "a part that is no object": (row(["a"]), "part 1 of message 1 is text, not an object"),
    "a video": (row([{"type": "video"}]), "has the type 'video', not text or image"),
    "a link": (row([{"type": "image", "url": "x"}]), "part 1 of message 1 has `url`"),
    "text that is none": (row([{"type": "text", "text": 3}]), "the text of part 1 of message 1 is a number"),
    "no parts": (row([]), "the content of message 1 has no parts"),
    "half a character": (row([{"type": "text", "text": "\ud83d"}]), "half of a surrogate pair"),
    "an empty answer": ({"messages": [said("a"), said([{"type": "text", "text": " "}], "assistant")]}, "is empty"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_named_by_line_and_reason(tmp_path: Path, name: str) -> None:
    """Every way to show no image has its own words."""
    bad, fragment = BAD[name]
    path = write(tmp_path / "rows.jsonl", row("a"), bad)
    with pytest.raises(BadInput) as caught:
        check_rows(path, blind="")
    assert str(caught.value.problems[0]).startswith(f"{path}:2: ")
    assert fragment in str(caught.value.problems[0])


def test_all_bad_rows_are_named_together(tmp_path: Path) -> None:
    """A missing image and a wrong message, each by its line."""
    path = write(tmp_path / "rows.jsonl", row("a", "x.png"), row("a"), {"messages": []})
    with pytest.raises(BadInput) as caught:
        check_rows(path, blind="")
    assert [problem.where for problem in caught.value.problems] == [f"{path}:1", f"{path}:3", path]


@pytest.mark.parametrize("bad", [row("a", "x.png"), {**row("a"), "image": "x.png"}, row([own("x.png")])])
def test_a_model_that_sees_nothing_is_shown_nothing(tmp_path: Path, bad: Any) -> None:
    """Images are not left out in silence: the row is named, with the reason."""
    path = write(tmp_path / "rows.jsonl", row("a"), bad)
    with pytest.raises(BadInput, match=r"rows\.jsonl:2: .*llama sees nothing"):
        check_rows(path, blind="llama sees nothing")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_size_is_that_of_the_picture_as_it_is_shown(tmp_path: Path, suffix: str, orientation: int) -> None:
    """A picture that lies on its side is turned before a processor sees it."""
    from PIL.ImageOps import exif_transpose

    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"x.{suffix}"
    Image.new("RGB", (40, 20)).save(path, exif=exif)
    turned = exif_transpose(Image.open(path))
    assert turned is not None
    assert size_of(path.name, tmp_path) == turned.size


def test_nothing_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture without its pixels has its size."""
    raw = png(3000, 2000)
    (tmp_path / "cut.png").write_bytes(raw[: raw.index(b"IDAT") + 8])
    jpeg = BytesIO()
    Image.new("RGB", (300, 200)).save(jpeg, "jpeg")
    (tmp_path / "cut.jpg").write_bytes(jpeg.getvalue()[:-400])
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    assert size_of("cut.png", tmp_path) == (3000, 2000)
    assert size_of("cut.jpg", tmp_path) == (300, 200)


def test_pixels_are_read_where_they_are_asked_for(tmp_path: Path) -> None:
    """A picture that was cut is bad input then, with its name; and so is a size that the model refuses."""
    raw = png(300, 200)
    (tmp_path / "cut.png").write_bytes(raw[: len(raw) // 2])
    file = write(tmp_path / "rows.jsonl", row("a", picture(tmp_path, 40, 20)), row("a", "cut.png"))
    assert not scan(file, "").left_out
    [bad] = scan(file, "", Looks(decodes=True)).left_out
    assert bad.where == f"{file}:2"
    assert f"the pixels of the image {tmp_path / 'cut.png'} cannot be read" in bad.reason
    [bad] = scan(file, "", Looks(refused=lambda size: "too small" if size[0] < 50 else "")).left_out
    assert (bad.where, bad.reason) == (f"{file}:1", "an image is 40 × 20: too small")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
def test_a_link_in_the_folder_leads_anywhere(tmp_path: Path) -> None:
    """Who made it said so."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").mkdir()
    name = picture(tmp_path / "elsewhere", 40, 20)
    (tmp_path / "data" / "images").symlink_to(tmp_path / "elsewhere")
    assert size_of(f"images/{name}", tmp_path / "data") == (40, 20)
    with pytest.raises(Unreadable, match="lies outside"):
        size_of(f"../elsewhere/{name}", tmp_path / "data")


def test_without_pillow_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, and not for rows of text."""
    monkeypatch.setitem(sys.modules, "PIL", None)
    name = picture(tmp_path, 40, 20)
    assert check_rows(write(tmp_path / "text.jsonl", row("a")), blind="").rows == 1
    with pytest.raises(BadInput, match="Pillow is not installed") as caught:
        check_rows(write(tmp_path / "rows.jsonl", row("a", name), row("a", name)), blind="")
    assert len(caught.value.problems) == 1


CONTENT = st.one_of(st.just("a"), st.lists(st.sampled_from([PLACE, TEXT, own("own.png")]), min_size=1, max_size=3))
MESSAGES = st.lists(st.builds(said, CONTENT, st.sampled_from(["system", "user", "assistant"])), min_size=1, max_size=4)


@settings(deadline=None)  # TRL is imported in the first example
@given(MESSAGES, st.integers(0, 3))
def test_rows_are_right_where_trl_takes_them(messages: list[dict[str, Any]], count: int) -> None:
    """Whatever messages and images stand beside each other, TRL's own preparation refuses what is refused here, and
    fills the same images in, in the same order."""
    data_utils = pytest.importorskip("trl.data_utils")
    images = [f"{number}.png" for number in range(count)]
    shown = {"messages": messages, "images": images}
    try:
        prepared = data_utils.prepare_multimodal_messages(messages, images)
    except ValueError:
        assert wrong_with_images(shown)
        return
    assert not wrong_with_images(shown)
    assert refs_of(shown) == [part["image"] for each in prepared for part in each["content"] if part["type"] == "image"]


def nested(keys: list[str]) -> st.SearchStrategy[Any]:
    plain = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
    inside = st.dictionaries(st.sampled_from(keys), plain, max_size=3) | plain
    return inside | st.lists(inside, max_size=3)


@given(nested(["path", "bytes", "x"]), nested(["type", "image", "text", "path"]))
def test_any_row_is_right_or_bad_input(tmp_path_factory: pytest.TempPathFactory, images: Any, content: Any) -> None:
    """Nothing that stands in a row crashes the check."""
    path = tmp_path_factory.mktemp("any") / "rows.jsonl"
    write(path, row(content) | {"images": images})
    with suppress(BadInput):
        assert check_rows(path, blind="").rows == 1
