from appliance.net.rate_limit import Rate
from appliance.tokens.server_limits import limits
from tests.tokens.token_server import asking, settings


async def statuses(count, **keys):
    async with asking(**keys) as client:
        return [(await client.get("/api/token")).status_code for _ in range(count)]


async def test_one_address_is_limited_as_configured():
    assert 429 not in await statuses(40)
    assert 429 in await statuses(60)
    assert 429 not in await statuses(90, requests_per_s_each=5)


async def test_all_addresses_together_are_limited_as_configured():
    assert 429 in await statuses(30, requests_per_s=1)


def test_connections_are_limited_as_configured():
    found = limits(settings().config).connections
    assert (found.total, found.each) == (64, 16)
    found = limits(settings(connections=500, connections_each=200).config).connections
    assert (found.total, found.each) == (500, 200)
    assert found.rate == Rate(500, 50)
    assert found.rate_each == Rate(200, 10)


def test_a_proxy_may_open_all_the_connections():
    chosen = settings(trusted_proxies=["192.168.1.2"], connections=500)
    found = limits(chosen.config).connections
    assert (found.total, found.each) == (500, 500)
    assert found.rate_each == found.rate
