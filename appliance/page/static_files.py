"""Static files of the page, read into memory once."""

import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
OPEN = frozenset(
    f"/static/{name}" for name in ("style.css", "pair.js", "icon.svg", "icon.png")
) | {"/static/manifest.webmanifest"}
"""Files of the pairing form, and icons, which browsers fetch without cookies."""


@dataclass(frozen=True, slots=True)
class Asset:
    """Content of a static file."""

    content: bytes
    kind: str
    tag: str
    """ETag, so that browsers load changed files at once after an upgrade."""


def load() -> dict[str, Asset]:
    """Return all static files by name."""
    found = {}
    for entry in files("appliance.page").joinpath("static").iterdir():
        kind = KINDS.get("." + entry.name.rpartition(".")[2])
        if kind is not None:
            content = entry.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            found[entry.name] = Asset(content, kind, tag)
    return found


def build(assets: dict[str, Asset]) -> str:
    """Return a version for these files, which differs if any of them differs."""
    facts = "".join(f"{name}{assets[name].tag}" for name in sorted(assets))
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def answer(asset: Asset, request: Request) -> Response:
    """Return the file, or 304 if the browser has it in its cache."""
    headers = {"cache-control": "no-cache", "etag": asset.tag}
    if request.headers.get("if-none-match") == asset.tag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(asset.content, HTTPStatus.OK, headers, asset.kind)
