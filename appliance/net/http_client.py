"""HTTPS client: the CA certificates to trust, and a POST with a bounded answer."""

import asyncio
import ssl
from functools import cache
from typing import Final

import httpx

from appliance.errors import ApplianceError

_TIME_CODES: Final = {9, 10}
"""Source: OpenSSL, x509_vfy.h: X509_V_ERR_CERT_NOT_YET_VALID, ..._HAS_EXPIRED."""


@cache
def trust() -> ssl.SSLContext:
    """Return the TLS context with the system's CA certificates, read once (30 ms)."""
    return ssl.create_default_context()


def certificate_advice(exc: ssl.SSLCertVerificationError) -> str:
    """Return the likely remedy: only some certificates are wrong because of a clock."""
    if exc.verify_code in _TIME_CODES:
        return "Is the clock here right?"
    return (
        "Use the name that it is for, and an authority that this box trusts. Or does "
        "this network require a login?"
    )


class PostError(ApplianceError, ConnectionError):
    """No usable answer; `str` completes a sentence that begins with the address."""


async def post_json(
    url: str,
    body: bytes,
    transport: httpx.AsyncBaseTransport | None,
    most_bytes: int,
    within_s: float,
) -> bytes:
    """Send the body and return that of the 2xx response.

    Redirects are not followed and proxies of the environment are not used. `transport`
    replaces the network, for tests; `within_s` is the time-out for everything.

    Raises:
        PostError: no answer in time, another status, or a body that is too long.
    """
    # No compression, so that a short answer cannot become a long one in memory.
    headers = {
        "accept-encoding": "identity",
        "content-type": "application/json",
        "user-agent": "ptt-appliance",
    }
    answer = bytearray()
    try:
        async with (
            asyncio.timeout(within_s),
            httpx.AsyncClient(
                timeout=httpx.Timeout(None),
                transport=transport,
                trust_env=False,
                verify=trust(),
            ) as client,
            client.stream("POST", url, headers=headers, content=body) as response,
        ):
            if not response.is_success:
                message = f"answered {response.status_code}"
                raise PostError(message)
            async for chunk in response.aiter_raw():
                answer += chunk
                if len(answer) > most_bytes:
                    message = f"answered more than {most_bytes // 1024} KiB"
                    raise PostError(message)
    except TimeoutError as exc:
        message = f"did not answer within {within_s:g} s"
        raise PostError(message) from exc
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as exc:
        message = f"could not be reached ({type(exc).__name__})"
        raise PostError(message) from exc
    return bytes(answer)
