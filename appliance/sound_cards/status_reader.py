"""Reader of the kernel's status files of PCMs, which may block without end.

A PCM whose driver is stuck holds a lock that reading its status waits for, and nothing
can interrupt that.
"""

import threading
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from appliance.sound_cards.devices import kernel_paths, kernel_text

ANSWER_S: Final = 2.0
"""Time after which a PCM counts as stuck; the kernel answers at once. Our choice."""


class StatusReader:
    """Reads the status of each PCM on a daemon thread, which only a stuck one keeps.

    Thread: one at a time.
    """

    def __init__(self) -> None:
        """Start without a PCM that has not answered."""
        self._unanswered: dict[Path, SimpleQueue[str]] = {}

    def text(self, pcm: Path) -> str | None:
        """Return the status of all substreams of a PCM; None: no answer.

        A PCM that did not answer costs no more time, and no other thread, until it
        does.
        """
        answer, limit_s = self._unanswered.pop(pcm, None), 0.0
        if answer is None:
            answer, limit_s = SimpleQueue[str](), ANSWER_S
            threading.Thread(
                target=_read, args=(pcm, answer), name="card status", daemon=True
            ).start()
        try:
            return answer.get(timeout=limit_s)
        except Empty:
            self._unanswered[pcm] = answer
            return None


def _read(pcm: Path, answer: SimpleQueue[str]) -> None:
    subs = kernel_paths(pcm, "sub*")
    answer.put("\n".join(kernel_text(sub / "status") for sub in subs))
