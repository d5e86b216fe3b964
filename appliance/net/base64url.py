"""Base64 with the alphabet of URLs and without padding, as in JSON Web Tokens."""

from base64 import urlsafe_b64encode


def base64url(data: bytes) -> bytes:
    """Return the bytes as text.

    Source: RFC 7515, section 2.
    """
    return urlsafe_b64encode(data).rstrip(b"=")
