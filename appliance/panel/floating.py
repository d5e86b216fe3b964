"""Detection of a floating wire by the edges of a button; pure, time is an argument.

A wire without a defined level picks up mains hum and noise: edges without pause, which
no finger makes. Bounce is short, so what counts is how much of the time has edges.
"""

from dataclasses import dataclass, replace
from typing import Final

from appliance.core import fault_table

SLOT_S: Final = 0.02
"""One period of mains hum, and the longest bounce."""
DECAY: Final = 0.5
"""Loss of the level per slot: edges in half of all slots are not suspicious."""
LIMIT: Final = 90
"""Level from which the wire floats: 3.6 s with edges in every slot.

Our choice: 50 presses a second for three seconds are still presses.
"""
EDGES: Final = 20
"""Edges in one slot that count as another slot, so that 10,000 edges a second are
detected in 0.2 s; a bounce of 20 ms has up to 40."""


@dataclass(frozen=True, slots=True)
class EdgeRate:
    """Recent edges of one contact."""

    slot: int = 0
    """Number of the newest slot with an edge."""
    edges: int = 0
    """Edges in it."""
    level: float = 0.0

    @property
    def is_floating(self) -> bool:
        """Whether no finger can have made these edges."""
        return self.level >= LIMIT


def after_edge(rate: EdgeRate, at_s: float) -> EdgeRate:
    """Return the rate after an edge at this time."""
    slot = int(at_s / SLOT_S)
    passed = slot - rate.slot
    if passed > 0:
        level = max(0.0, rate.level - DECAY * (passed - 1))
        return EdgeRate(slot, 1, level + 1 - DECAY)
    edges = rate.edges + 1
    return replace(rate, edges=edges, level=rate.level + (edges % EDGES == 0))


def float_reason(pull: str) -> str:
    """Return what is wrong with the wire of a button, and the remedy.

    Args:
        pull: configured resistor of the Pi, `up`, `down` or `none`.
    """
    is_open = pull == "none"
    fault = fault_table.WIRE_UNPULLED if is_open else fault_table.WIRE_FLOATS
    return fault.text()
