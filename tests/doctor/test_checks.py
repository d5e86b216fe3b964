"""Descriptions of a token and of a failing source."""

import httpx
import pytest

from appliance.doctor.checks import try_token
from appliance.errors import TokenRefused, TokenUnreachable
from tests.tokens.test_adapter import Office, ok
from tests.tokens.token_texts import NOW_S, answer_of, jwt_of


@pytest.mark.parametrize(
    ("ends_at_s", "said"),
    [
        (NOW_S + 600, "for 10 minutes"),
        (None, "without an end"),
    ],
)
async def test_a_token_is_described_by_room_and_end(ends_at_s, said):
    token = jwt_of(exp=ends_at_s)
    office = Office(ok(answer_of(participant_token=token)))
    told = await try_token(office.source(), NOW_S)
    assert told == (f"token for room kitchen {said}", "wss://lk.example.com")
    assert office.events.empty()


async def test_the_token_of_a_preset_is_from_its_own_source():
    office = Office(ok())
    await try_token(office.source(), NOW_S, "lab")
    assert office.requests[0].url == "https://lab/api"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(401), TokenRefused),
        (httpx.Response(500), TokenUnreachable),
        (httpx.ConnectError("no"), TokenUnreachable),
    ],
)
async def test_a_fault_of_the_source_is_raised(answer, error):
    with pytest.raises(error, match=r"tokens\.example\.com"):
        await try_token(Office(answer).source(), NOW_S)
