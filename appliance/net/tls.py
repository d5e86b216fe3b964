"""TLS context of connections to servers."""

import ssl
from functools import cache


@cache
def trust() -> ssl.SSLContext:
    """Return the TLS context with the system's CA certificates, read once (30 ms).

    Users can add a private CA to the system's.
    """
    return ssl.create_default_context()
