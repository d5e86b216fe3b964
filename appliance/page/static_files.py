"""The page's own files, read once: they are few and small."""

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
"""What the pairing form is made of; icons are fetched without cookies."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    content: bytes
    kind: str
    tag: str
    """For `If-None-Match`: an upgrade shows at once."""


def load() -> dict[str, Asset]:
    """Return every file of the page by its name."""
    found = {}
    for entry in files("appliance.page").joinpath("static").iterdir():
        kind = KINDS.get("." + entry.name.rpartition(".")[2])
        if kind is not None:
            content = entry.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            found[entry.name] = Asset(content, kind, tag)
    return found


def build(assets: dict[str, Asset]) -> str:
    """Return a name for these very files, another after an upgrade that changed any."""
    facts = "".join(f"{name}{assets[name].tag}" for name in sorted(assets))
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def answer(asset: Asset, request: Request) -> Response:
    """Return the file, or 304 when the browser has it."""
    headers = {"cache-control": "no-cache", "etag": asset.tag}
    if request.headers.get("if-none-match") == asset.tag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(asset.content, HTTPStatus.OK, headers, asset.kind)
