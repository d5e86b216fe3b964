"""Test of the token source for `doctor`: fetches one token."""

from datetime import UTC, datetime

from appliance.core.commands import FetchToken
from appliance.tokens.source import TokenSource

DAY_S = 86_400
"""Seconds; for longer times the time of day alone would be misleading."""


async def try_token(source: TokenSource, now_s: float) -> tuple[str, str]:
    """Return a description without the token itself, and the address of its server.

    Args:
        source: the configured token source.
        now_s: seconds since the epoch.

    Raises:
        TokenError: none was issued; the sentence has the reason.
    """
    answer = await source.answer(FetchToken(0, None, None))
    return (
        f"token for room {answer.room} {_until(answer.expires_at_s, now_s)}",
        answer.url,
    )


def _until(ends_at_s: float | None, now_s: float) -> str:
    if ends_at_s is None:
        return "without an end"
    if ends_at_s - now_s >= DAY_S:
        return "for more than a day"
    return f"until {datetime.fromtimestamp(ends_at_s, UTC).astimezone():%H:%M}"
