"""What the box counts, as Prometheus reads it (R9.4).

Text of our own instead of the package prometheus-client, which costs 20 ms at every
start and 4.4 MB for good (measured on x86-64). Its parser checks ours in the tests.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from appliance.core.events import Cause, Event
from appliance.core.state import State
from appliance.metrics.audio import Direction, SoundFault, SoundFigures
from appliance.metrics.counters import CHAT, RESUMED, Counts
from appliance.metrics.exposition import Family, Kind, Sample, exposition


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """What the process uses."""

    cpu_s: float
    resident_bytes: int
    open_files: int


class Metrics:
    """Counts what happens.

    Thread: the loop's.
    """

    def __init__(self, process: Callable[[], ProcessFigures] | None = None) -> None:
        """Start with nothing counted.

        Args:
            process: what the process uses; None: the kernel says.
        """
        self._process = process or process_figures
        self.counts = Counts()

    def observe(self, event: Event, before: State, after: State, now_s: float) -> None:
        """Count what one step of the control road changed, as `Counts.observe`."""
        self.counts.observe(event, before, after, now_s)

    def text(self, sound: SoundFigures) -> str:
        """Return everything in Prometheus' text format.

        Args:
            sound: what the sound road has counted.
        """
        return exposition((*self._room(), *self._audio(sound), *self._own()))

    def _room(self) -> Iterator[Family]:
        counts = self.counts
        yield _one("joins_total", Kind.COUNTER, "Rooms joined.", counts.joins)
        yield _one(
            "leaves_total", Kind.COUNTER, "Rooms left on purpose.", counts.leaves
        )
        yield Family(
            "ptt_reconnects_total",
            Kind.COUNTER,
            f"Connections that broke, by cause; {RESUMED}: without leaving the room.",
            tuple(
                Sample(counts.reconnects[cause], {"cause": cause})
                for cause in (*Cause, RESUMED)
            ),
        )
        yield _one(
            "connection_state",
            Kind.GAUGE,
            "0 left, 1 refused, 2 waiting, 3 joining, 4 resuming, 5 in the room.",
            counts.connection,
        )
        yield _one("rtt_seconds", Kind.GAUGE, "Round trip to the server.", counts.rtt_s)
        yield Family(
            "ptt_chat_messages_total",
            Kind.COUNTER,
            "Chat lines that reached a state.",
            tuple(
                Sample(counts.chat[key], {"direction": key[0], "state": key[1]})
                for key in CHAT.values()
            ),
        )

    def _audio(self, sound: SoundFigures) -> Iterator[Family]:
        yield Family(
            "ptt_audio_blocks_total",
            Kind.COUNTER,
            "Blocks of 10 ms, sent to the room or received from it.",
            tuple(Sample(sound.blocks.get(x, 0), {"direction": x}) for x in Direction),
        )
        yield Family(
            "ptt_audio_faults_total",
            Kind.COUNTER,
            "Troubles on the way of the sound.",
            tuple(
                Sample(sound.faults.get(key, 0), {"direction": key[0], "kind": key[1]})
                for key in product(Direction, SoundFault)
            ),
        )
        yield Family(
            "ptt_buffer_depth_seconds",
            Kind.GAUGE,
            "Sound that waits in a buffer.",
            tuple(Sample(x, {"buffer": name}) for name, x in sound.depth_s.items()),
        )
        drift = "How much faster the speaker's clock runs than the network's."
        yield _one("drift_ppm", Kind.GAUGE, drift, sound.drift_ppm)
        talk = "Time in which speech was sent."
        yield _one("talk_seconds_total", Kind.COUNTER, talk, self.counts.talk_s)
        yield Family(
            "ptt_access_seconds",
            Kind.HISTOGRAM,
            "From the press to the first frame handed to the encoder.",
            self.counts.access.samples(),
        )

    def _own(self) -> Iterator[Family]:
        """Yield what the process uses, by the names that every dashboard knows."""
        use = self._process()
        yield _process("cpu_seconds_total", Kind.COUNTER, "CPU time used.", use.cpu_s)
        memory = "Memory that is in RAM."
        yield _process("resident_memory_bytes", Kind.GAUGE, memory, use.resident_bytes)
        yield _process("open_fds", Kind.GAUGE, "Open files.", use.open_files)


def process_figures() -> ProcessFigures:
    """Return what the kernel says about this process.

    Source: proc(5), `/proc/pid/statm`, second number.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return ProcessFigures(
        cpu_s=time.process_time(),
        resident_bytes=pages * os.sysconf("SC_PAGESIZE"),
        open_files=sum(1 for _ in Path("/proc/self/fd").iterdir()),
    )


def _one(name: str, kind: Kind, explanation: str, value: float | None) -> Family:
    """Return a family of one number, or of none where it is not known."""
    samples = () if value is None else (Sample(value),)
    return Family(f"ptt_{name}", kind, explanation, samples)


def _process(name: str, kind: Kind, explanation: str, value: float) -> Family:
    return Family(f"process_{name}", kind, explanation, (Sample(value),))
