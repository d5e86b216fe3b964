"""Limits of the token server on connections and requests."""

from typing import Final

from starlette.responses import JSONResponse

from appliance.net.http_limits import ConnectionLimits, ServerLimits
from appliance.net.rate_limit import Rate, RateLimit
from appliance.tokens.server_config import TokenServerConfig

BURST: Final = 5
"""Seconds' worth of requests in a burst over all addresses."""
BURST_EACH: Final = 20
"""The same from one address: many boxes behind one router may start at once."""
CONNECTS: Final = Rate(burst=100, per_s=50)
"""New connections at least: each request of a box has one of its own."""
CONNECTS_EACH: Final = Rate(burst=40, per_s=10)


def limits(config: TokenServerConfig) -> ServerLimits:
    """Return the limits on clients of the server.

    Connections of one address are not limited where there are trusted proxies, which
    bring all clients from one address; requests are, by the client's own address.
    """
    connects = _at_least(CONNECTS, config.connections, config.requests_per_s)
    each = _at_least(CONNECTS_EACH, config.connections_each, config.requests_per_s_each)
    is_proxied = bool(config.trusted_proxies)
    per_s, per_s_each = config.requests_per_s, config.requests_per_s_each
    return ServerLimits(
        connections=ConnectionLimits(
            total=config.connections,
            each=config.connections if is_proxied else config.connections_each,
            rate=connects,
            rate_each=connects if is_proxied else each,
        ),
        requests=RateLimit(
            Rate(BURST_EACH * per_s_each, per_s_each), Rate(BURST * per_s, per_s)
        ),
        refusal=JSONResponse(
            {"error": "too many requests; wait a few seconds."},
            429,
            {"retry-after": "5", "connection": "close"},
        ),
    )


def _at_least(rate: Rate, burst: float, per_s: float) -> Rate:
    return Rate(burst=max(rate.burst, burst), per_s=max(rate.per_s, per_s))
