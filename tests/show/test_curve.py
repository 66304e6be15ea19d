"""The drawing of a memory curve."""

from __future__ import annotations

from xml.etree import ElementTree

from finefit.show.curve import HEIGHT, TOP, svg
from finefit.tape.curve import Column, Curve

GIB = 1 << 30
CURVE = Curve(
    ("weight", "activation", "batch"),
    (
        Column("forward", 1, (2 * GIB, 0, 1)),
        Column("forward", 2, (2 * GIB, GIB, 1)),
        Column("backward", 3, (2 * GIB, 3 * GIB, 1)),
        Column("optimizer", 4, (2 * GIB, 0, 1)),
    ),
)


def test_the_drawing_is_as_high_as_the_peak() -> None:
    """Well-formed; at the top at its peak alone; the peak and the phases are named; what none can see is left out."""
    drawn = ElementTree.fromstring(svg(CURVE, "A <step> & its memory"))
    space = {"svg": "http://www.w3.org/2000/svg"}
    polygons = drawn.findall("svg:polygon", space)
    assert len(polygons) == 2  # a byte of batch is no pixel
    heights = [float(corner.split(",")[1]) for polygon in polygons for corner in polygon.attrib["points"].split()]
    assert min(heights) == TOP
    assert max(heights) < HEIGHT
    named = [text.text for text in drawn.findall("svg:text", space)]
    assert {"forward", "backward", "optimizer"} <= set(named)
    description = drawn.findtext("svg:desc", namespaces=space)
    assert description is not None
    assert "A <step> & its memory" in description
    assert "5.00 GiB in backward" in description
