"""Pure functions of the page, with hostile input."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.events import TalkAsked
from appliance.page.access import pin_of
from appliance.page.controls import Client, TalkLeases
from appliance.page.messages import (
    ChatRequest,
    JoinRequest,
    RequestRefused,
    VolumeRequest,
    from_body,
    from_command,
)
from appliance.page.pairing_lockout import (
    ADDRESSES,
    LONGEST_WAIT_S,
    WINDOW_S,
    Lockout,
    Lockouts,
)


def outcome(call):
    """Return the result of the call, or the refusal that it raised."""
    try:
        return call()
    except RequestRefused as refused:
        return refused


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
@pytest.mark.parametrize("kind", [ChatRequest, VolumeRequest, JoinRequest])
def test_any_body_is_a_command_or_a_refusal(kind, body):
    found = outcome(lambda: from_body(body, kind))
    assert isinstance(found, kind) or found.status == 400


@given(st.binary(max_size=300) | st.text(max_size=100))
def test_any_message_is_a_command_or_a_refusal(message):
    found = outcome(lambda: from_command(message))
    assert not isinstance(found, RequestRefused) or found.body["error"]


@given(st.binary(max_size=300))
@pytest.mark.parametrize("is_json", [False, True])
def test_any_form_is_six_digits_or_a_refusal(is_json, body):
    found = outcome(lambda: pin_of(body, is_json=is_json))
    assert found.key == "pin" if isinstance(found, RequestRefused) else len(found) == 6


def test_a_form_with_many_fields_is_refused():
    with pytest.raises(RequestRefused):
        pin_of(b"a=1&" * 100 + b"pin=123456", is_json=False)


@given(st.integers(min_value=0, max_value=5000))
def test_a_lockout_grows_to_an_hour_and_no_further(failures):
    lockout = Lockout()
    waits = []
    for _ in range(min(failures, 40)):
        lockout = lockout.failed(0.0)
        waits.append(lockout.wait_s(0.0))
    assert waits == sorted(waits)
    assert all(wait == 0 for wait in waits[:4])
    assert all(0 < wait <= LONGEST_WAIT_S for wait in waits[4:])
    assert Lockout(failures).failed(0.0).until_s <= LONGEST_WAIT_S


@given(st.floats(min_value=0, max_value=1e7))
def test_the_first_wait_is_a_minute_whatever_the_clock_says(now_s):
    lockout = Lockout(4).failed(now_s)
    assert lockout.wait_s(now_s) == 60
    assert lockout.wait_s(now_s + 60) == 0


_guesses = st.tuples(st.integers().map(str), st.floats(min_value=0, max_value=300))


@given(st.lists(_guesses, min_size=30, max_size=90))
def test_there_are_at_most_thirty_wrong_pins_an_hour(guesses):
    lockouts = Lockouts()
    now_s, tries_s = 0.0, []
    for guest, gap_s in guesses:
        now_s += gap_s
        if lockouts.wait_s(guest, now_s) == 0:
            lockouts.failed(guest, now_s)
            tries_s.append(now_s)
    for number, start_s in enumerate(tries_s):
        later = [at_s for at_s in tries_s[number:] if at_s < start_s + WINDOW_S - 1]
        assert len(later) <= 30


@given(st.floats(min_value=-1e6, max_value=1e6), st.integers(1, 60))
def test_a_restart_shortens_no_wait_by_more_than_the_clock_says(passed_s, failures):
    before = Lockouts()
    for _ in range(failures):
        before.failed("a", 100.0)
    kept = before.stored(100.0, 1e9)
    after = Lockouts.restored(kept, 5.0, 1e9 + passed_s)
    for guest in ("a", "b"):
        wait_s = before.wait_s(guest, 100.0)
        left_s = max(0, wait_s - max(0.0, passed_s))
        assert left_s - 1 <= after.wait_s(guest, 5.0) <= wait_s + 1
    assert after.of("a").failures == failures


def test_the_memory_for_wrong_pins_is_bounded():
    lockouts = Lockouts()
    for number in range(1000):
        lockouts.failed(str(number), 0.0)
    assert len(lockouts.stored(0.0, 0.0).by_address) == ADDRESSES


class Timers:
    """Timers that a test runs by hand."""

    def __init__(self):
        self.waiting = []

    def call_later(self, wait_s, callback):
        timer = Timer(self, callback)
        self.waiting.append(timer)
        return timer

    def pass_by(self):
        for timer in tuple(self.waiting):
            timer.cancel()
            timer.callback()


class Timer:
    def __init__(self, timers, callback):
        self.timers = timers
        self.callback = callback

    def cancel(self):
        if self in self.timers.waiting:
            self.timers.waiting.remove(self)


def talks(events):
    """Return a `post` that accepts only `TalkAsked`."""

    def post(event):
        assert isinstance(event, TalkAsked)
        events.append(event)

    return post


def test_a_press_ends_with_its_lease():
    timers = Timers()
    events: list[TalkAsked] = []
    leases = TalkLeases(talks(events), timers.call_later)
    leases.press(Client("script"))
    leases.press(Client("script"))
    assert len(timers.waiting) == 1
    timers.pass_by()
    assert events == [TalkAsked(True), TalkAsked(False)]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans())))
def test_the_button_is_pressed_while_any_holder_presses_it(presses):
    timers = Timers()
    events: list[TalkAsked] = []
    leases = TalkLeases(talks(events), timers.call_later)
    down = set()
    for holder, is_down, has_lease in presses:
        if is_down:
            leases.press(Client(holder, None if has_lease else holder))
            down.add(holder)
        else:
            leases.release(holder)
            down.discard(holder)
        is_on = bool(events) and events[-1].is_on
        assert is_on == bool(down)
    leases.release_where(lambda _client: True)
    assert not timers.waiting
    assert not events or not events[-1].is_on
