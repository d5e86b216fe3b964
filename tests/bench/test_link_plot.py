"""The plot of the delay over time."""

import math
from xml.etree import ElementTree as ET

from tests.bench.link_plot import Curve, plot

SVG = "{http://www.w3.org/2000/svg}"
POINTS = ((0.0, 80.0), (0.1, 85.0), (0.2, math.nan), (0.3, 300.0), (9.0, 90.0))


def picture(*curves, events_s=()):
    return ET.fromstring(plot(curves, events_s))


def test_a_curve_is_interrupted_where_nothing_was_heard():
    path = picture(Curve("ours", POINTS)).find(f"{SVG}path")
    assert path is not None
    assert path.get("d", "").count("M") == 3
    assert "nan" not in path.get("d", "")


def test_curves_are_named_and_in_the_picture():
    root = picture(Curve("ours", POINTS), Curve("MediaDevices", ((1.0, 900.0),)))
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert {"this box", "MediaDevices", "1000"} <= set(words)
    height = float(root.get("viewBox", "").split()[3])
    for path in root.iter(f"{SVG}path"):
        numbers = path.get("d", "").replace("M", " ").replace("L", " ").split()
        assert all(0 <= float(y) <= height for y in numbers[1::2])


def test_events_are_areas():
    root = picture(Curve("ours", POINTS), events_s=((1.0, 1.2), (3.0, 5.0)))
    areas = [x for x in root.iter(f"{SVG}rect") if x.get("fill") == "#ddd"]
    short, long = (float(x.get("width", "0")) for x in areas)
    assert 0 < short < long


def test_without_speech_there_are_only_axes():
    assert picture(Curve("ours", ((0.0, math.nan),))).find(f"{SVG}path") is not None
    assert picture().find(f"{SVG}path") is None
