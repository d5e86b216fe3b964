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
        client = Client(holder, None if has_lease else holder)
        if is_down:
            leases.press(client)
            down.add(client)
        else:
            leases.release(client)
            down.discard(client)
        is_on = bool(events) and events[-1].is_on
        assert is_on == bool(down)
    leases.release_where(lambda _client: True)
    assert not timers.waiting
    assert not events or not events[-1].is_on
