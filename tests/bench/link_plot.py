"""Plot of the delay over time as SVG; pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 900, 360
LEFT, RIGHT, TOP, BOTTOM = 60, 130, 40, 45
COLOURS = {"ours": "#0b6e4f", "MediaDevices": "#b3541e", "Chromium": "#3d5a98"}
WORDS = {"ours": "this box"}
STEPS_MS = (50, 100, 200, 500, 1000)
LINES = 8
"""Most horizontal lines."""
EVERY_S = 10
FAR_S = 0.35
"""Longest time between two points that are joined; in a pause there are none."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Delay of one kind of client."""

    name: str
    points: tuple[tuple[float, float], ...]
    """Seconds and milliseconds; NaN where nothing was heard."""


@dataclass(frozen=True, slots=True)
class _Scale:
    until_s: float
    most_ms: float

    def x(self, at_s: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * at_s / self.until_s

    def y(self, ms: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * ms / self.most_ms


def plot(curves: Sequence[Curve], events_s: Sequence[tuple[float, float]]) -> str:
    """Return a plot with the events as grey areas."""
    known = [ms for curve in curves for _, ms in curve.points if not math.isnan(ms)]
    until_s = max([1.0, *(at_s for curve in curves for at_s, _ in curve.points)])
    step_ms = next((x for x in STEPS_MS if max(known, default=1) <= LINES * x), 1000)
    most_ms = step_ms * math.ceil(max(known, default=1) / step_ms)
    scale = _Scale(until_s, most_ms)
    head = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
    parts = [
        f'<svg {head} font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        *_areas(scale, events_s),
        *_axes(scale, step_ms),
    ]
    for place, curve in enumerate(curves):
        parts += _curve(scale, curve, place)
    return "\n".join([*parts, "</svg>", ""])


def _areas(scale: _Scale, events_s: Sequence[tuple[float, float]]) -> Iterator[str]:
    for start_s, end_s in events_s:
        left, width = scale.x(start_s), scale.x(end_s) - scale.x(start_s)
        yield (
            f'<rect x="{left:.1f}" y="{TOP}" width="{max(2.0, width):.1f}"'
            f' height="{HEIGHT - TOP - BOTTOM}" fill="#ddd"/>'
        )


def _axes(scale: _Scale, step_ms: float) -> Iterator[str]:
    yield _text(LEFT, 22, "Microphone to speaker in ms; grey: stall of 0.2 s, gaps")
    for n in range(round(scale.most_ms / step_ms) + 1):
        y = scale.y(n * step_ms)
        yield (
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"'
            ' stroke="#999" stroke-width="0.5"/>'
        )
        yield _text(LEFT - 8, y + 4, f"{n * step_ms:g}", "end")
    for at_s in range(0, int(scale.until_s) + 1, EVERY_S):
        yield _text(scale.x(at_s), HEIGHT - BOTTOM + 18, f"{at_s} s", "middle")


def _curve(scale: _Scale, curve: Curve, place: int) -> Iterator[str]:
    colour = COLOURS.get(curve.name, "#000")
    yield (
        f'<path d="{_path(scale, curve)}" fill="none" stroke="{colour}"'
        ' stroke-width="2" stroke-linecap="round"/>'
    )
    words = WORDS.get(curve.name, curve.name)
    y = TOP + 14 + 20 * place
    yield _text(WIDTH - RIGHT + 12, y, words, fill=colour)


def _path(scale: _Scale, curve: Curve) -> str:
    """Return the path, interrupted where nothing was heard."""
    words = []
    last_s = -math.inf
    for at_s, ms in curve.points:
        if math.isnan(ms):
            last_s = -math.inf
            continue
        move = "L" if at_s - last_s <= FAR_S else "M"
        # A point of its own is drawn, too.
        point = f"{scale.x(at_s):.1f} {scale.y(ms):.1f}"
        words.append(f"{move}{point}" if move == "L" else f"M{point}L{point}")
        last_s = at_s
    return "".join(words)


def _text(
    x: float, y: float, words: str, anchor: str = "start", fill: str = "#222"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}">'
        f"{escape(words)}</text>"
    )
