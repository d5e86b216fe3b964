"""HTTP client for servers on loopback."""

import ssl
from typing import Any

import httpx

NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody. Loading the usual certificates takes 20 ms for each client, and no
server on loopback uses TLS."""


def http_client(
    base_url: str = "", *, local_address: str | None = None, **options: Any
) -> httpx.AsyncClient:
    """Return a client without proxies; `options` are those of `httpx.AsyncClient`.

    Args:
        base_url: address of the server.
        local_address: address of this end.
        options: for example headers.
    """
    transport = httpx.AsyncHTTPTransport(
        verify=NO_CERTIFICATES, local_address=local_address
    )
    return httpx.AsyncClient(
        base_url=base_url, transport=transport, trust_env=False, **options
    )
