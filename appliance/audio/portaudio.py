"""PortAudio driver: each stream, and each search for cards, is a process of its own.

Each answer of a process has a time limit. One that does not answer is killed, which
also releases its card; the others go on.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Self

from appliance.audio.driver import (
    FULL_RATE_HZ,
    RATES_HZ,
    SAMPLE_BYTES,
    PeriodCallback,
    Stream,
    StreamRequest,
)
from appliance.audio.sound_process_client import START, SoundProcess, Value
from appliance.core import fault_table
from appliance.errors import SoundError
from appliance.sound_cards.devices import Direction

ANY_CARD: Final = "sound"
"""Device name in errors that concern no single card."""
START_S: Final = 5.0
"""Time limit for loading the libraries from a slow disk."""
PATIENCE_S: Final = 3.0
"""Time limit of a search, and of opening a card, which takes up to a second."""
RETRY_S: Final = 1.5
"""The same after one that hung: sound must be back 3 s after the cause is gone."""
PATIENT_EVERY: Final = 10
"""One in so many attempts has the long limit: the card may only be slow."""


class PortAudio:
    """Implements `driver.Driver`. Thread: one at a time, except the callbacks."""

    def __init__(self) -> None:
        """Start without a process."""
        self._found: SoundProcess | None = None
        """Process that has searched for cards, and may open a stream."""
        self._names: set[str] = set()
        """Names of the devices that it has found."""
        self._killed: list[SoundProcess] = []
        """Those that failed and may be stuck in the kernel."""
        self._hangs = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the search; streams have to be closed by themselves."""
        if self._found is not None:
            self._found.close()
        self._found = None

    def devices(self) -> Iterable[Mapping[str, object]]:
        """Return the devices that can be opened now.

        Raises:
            SoundError: also with an error in asound.conf, or if the process cannot be
                started.
        """
        self.close()
        self._found, devices = self._searched()
        self._names = {name for name, *_ in devices}
        keys = "name", "max_input_channels", "max_output_channels", "default_samplerate"
        return [dict(zip(keys, facts, strict=True)) for facts in devices]

    def open(
        self,
        wanted: StreamRequest,
        callback: Callable[[int], PeriodCallback],
        instead_of: Stream | None = None,
    ) -> Stream:
        """Open and start a stream; `callback` makes its callback for the rate in Hz."""
        parts = _part(wanted, "microphone"), _part(wanted, "speaker")
        if isinstance(instead_of, SoundProcess):
            process = instead_of
        else:
            process = self._taken({name for name, _ in parts if name})
        least_hz = 0 if wanted.is_any_rate else FULL_RATE_HZ
        process.request((*parts, RATES_HZ, least_hz, wanted.latency_s))
        rate_hz, process.latency_s = self._answer(process, wanted.device_name, "open")
        if not rate_hz:
            process.close()
            reason = fault_table.CARD_RATES.text(rates=", ".join(map(str, RATES_HZ)))
            raise SoundError(wanted.device_name, reason)
        frame_bytes = rate_hz // 100 * SAMPLE_BYTES
        sizes = [frame_bytes * channels for _, channels in parts]
        process.run(callback(rate_hz), *sizes)
        return process

    def _taken(self, names: set[str]) -> SoundProcess:
        """Return a process that knows these devices."""
        process, self._found = self._found, None
        if process is None or not names <= self._names:
            if process is not None:
                process.close()
            process, _ = self._searched()
        return process

    def _searched(self) -> tuple[SoundProcess, Value]:
        """Return a new process and the devices that it has found."""
        self._killed = [each for each in self._killed if not each.has_ended]
        for stuck in self._killed:
            # The kernel does not let it go, and another one would fare the same.
            raise SoundError(ANY_CARD, stuck.failure())
        try:
            process = SoundProcess()
        except OSError as exc:
            reason = fault_table.SOUND_NOT_STARTED.text(error=exc.strerror or exc)
            raise SoundError(ANY_CARD, reason) from exc
        self._answer(process, ANY_CARD, START)
        return process, self._answer(process, ANY_CARD, "search")

    def _answer(self, process: SoundProcess, card: str, task: str) -> Value:
        limit_s = RETRY_S if self._hangs % PATIENT_EVERY else PATIENCE_S
        limit_s = START_S if task == START else limit_s
        try:
            return process.answer(card, task, limit_s)
        except SoundError as exc:
            self._hangs += bool(fault_table.CARD_STUCK.likeness(exc.reason))
            self._killed.append(process)
            raise


def _part(wanted: StreamRequest, direction: Direction) -> tuple[str, int]:
    """Return name and channels of a direction, as `sound_process_main` takes them."""
    device = wanted.microphone if direction == "microphone" else wanted.speaker
    return device.name if device else "", wanted.channels(direction)
