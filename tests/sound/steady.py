"""A card that keeps our time, though its callbacks are called as fast as can be."""

from appliance.sound.beat import Beat


class Steady(Beat):
    """Never ahead, never short."""

    @property
    def ahead_s(self) -> float:
        """Nothing."""
        return 0.0
