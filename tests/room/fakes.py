"""Fakes of the microphone feed and the playback."""

import asyncio
import math
import threading
import time

import numpy as np

from appliance.pcm import RATE_HZ, SILENCE

BLOCK = 480
DEADLINE_S = 45.0


def tone(hz, samples, start=0, amplitude=8000):
    times = (np.arange(samples) + start) / RATE_HZ
    return (np.sin(2 * math.pi * hz * times) * amplitude).astype(np.int16)


def strongest_hz(sound):
    window = np.hanning(len(sound))
    spectrum = np.abs(np.fft.rfft(sound.astype(float) * window))
    return float(np.argmax(spectrum) * RATE_HZ / len(sound))


def amplitude(sound):
    return float(np.sqrt(2 * np.mean(sound.astype(float) ** 2)))


class FakeFeed:
    """Feed that sends a tone on its own thread, one block per 10 ms."""

    def __init__(self, hz=440):
        self._hz = hz
        self._sending = threading.Lock()
        self._send = None
        self.is_open = True
        """Whether the gate is open."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fake-feed")
        self.error = None
        self.connects = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        assert self.error is None

    @property
    def is_connected(self):
        return self._send is not None

    def connect(self, send):
        with self._sending:
            assert self._send is None, "connected twice"
            self._send = send
        self.connects += 1

    def disconnect(self):
        with self._sending:
            self._send = None

    def _run(self):
        block = np.zeros(BLOCK, np.int16)
        sent = 0
        due_s = time.monotonic()
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            due_s += 0.01
            block[:] = tone(self._hz, BLOCK, sent)
            sent += BLOCK
            try:
                with self._sending:
                    if self._send:
                        self._send(block if self.is_open else SILENCE)
            except BaseException as exc:
                self.error = exc
                raise
            # Would be audible if the memory were kept.
            block[:] = 32_767


class FakePlayback:
    """Playback that records every talker."""

    def __init__(self):
        self._changed = threading.Condition()
        self._heard = {}
        self.removed = []
        self.muted = set()
        self.is_quiet = False
        self.sink = None
        """Replaces the sinks that `add` returns, if set."""

    @property
    def talkers(self):
        return set(self._heard)

    def add(self, talker):
        with self._changed:
            assert talker not in self._heard
            self._heard[talker] = []
            self._changed.notify_all()
        return self.sink or (lambda block: self._put(talker, block))

    def remove(self, talker):
        with self._changed:
            del self._heard[talker]
            self.removed.append(talker)
            self._changed.notify_all()

    def mute(self, talker, *, is_on):
        with self._changed:
            (self.muted.add if is_on else self.muted.discard)(talker)
            self._changed.notify_all()

    def is_sounding(self, talker):
        return talker in self._heard and not self.is_quiet

    async def count(self, talkers):
        """Wait until there are so many talkers."""
        await asyncio.to_thread(self._wait, lambda: len(self._heard) == talkers)

    def sound(self, talker, seconds):
        """Record this long, and return it; a talker who ends meanwhile is silent.

        After another interruption the same track may be another talker.
        """
        wanted = int(seconds * 100)
        with self._changed:
            blocks = self._heard.get(talker, [])
            blocks.clear()

            def is_over():
                return len(blocks) >= wanted or self._heard.get(talker) is not blocks

            assert self._changed.wait_for(is_over, DEADLINE_S)
            missing = [SILENCE] * (wanted - len(blocks))
            return np.concatenate([*blocks, *missing])

    def _wait(self, is_so):
        with self._changed:
            assert self._changed.wait_for(is_so, DEADLINE_S)

    def _put(self, talker, block):
        assert block.dtype == np.int16
        assert block.shape == (BLOCK,)
        with self._changed:
            if talker in self._heard:
                self._heard[talker].append(block)
                self._changed.notify_all()
