"""Detection of a microphone that delivers only zeros while somebody talks."""

from typing import Final

from appliance.audio.stream_counters import StreamCounters

FIRST_ZEROS_S: Final = 2.0
"""Time with the gate open in which a microphone that has never delivered anything else
may deliver zeros; our choice, longer than it takes to begin to speak."""
ZEROS_S: Final = 4.5
"""The same for a microphone that did deliver sound; our choice, longer than the pauses
of a talk. Doubled each time that sound comes after all."""
MOST_ZEROS_S: Final = 72.0
"""After four mutes that were noticed, the next ones are still named; our choice."""


class SilentMicrophone:
    """Detector for one microphone, over all streams that are opened on it.

    Thread: the supervisor's.
    """

    def __init__(self, name: str = "") -> None:
        """Start with a microphone that works.

        Args:
            name: name of the device.
        """
        self.name = name
        self.is_silent = False
        self._zeros_since_s: float | None = None
        self._open_at_s: float | None = None
        self._talked_s = 0.0
        """Time with the gate open since the zeros began, over several talks."""
        self._longest_s = ZEROS_S

    def update(self, counters: StreamCounters, *, is_gate_open: bool) -> bool:
        """Return whether the microphone is silent; it stays so until sound comes.

        Args:
            counters: of the microphone.
            is_gate_open: whether the captured sound is being sent.
        """
        zeros_since_s, now_s = counters.zeros_since_s, counters.at_s
        if zeros_since_s != self._zeros_since_s:
            self._zeros_since_s, self._talked_s = zeros_since_s, 0.0
            # A stream that was just opened has had neither zeros nor sound yet.
            if self.is_silent and counters.has_sound:
                self.is_silent = False
                self._longest_s = min(2 * self._longest_s, MOST_ZEROS_S)
        opened_at_s, self._open_at_s = self._open_at_s, now_s if is_gate_open else None
        if opened_at_s is not None and is_gate_open and zeros_since_s is not None:
            self._talked_s += now_s - max(opened_at_s, zeros_since_s)
            longest_s = self._longest_s if counters.has_sound else FIRST_ZEROS_S
            self.is_silent = self.is_silent or self._talked_s >= longest_s
        return self.is_silent
