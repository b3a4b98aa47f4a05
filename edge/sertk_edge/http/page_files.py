"""The web page, from memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).resolve().parents[1] / "page"
INDEX = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True)
class PageFile:
    """One file of the page."""

    path: str
    body: bytes
    kind: str
    tag: str

    async def get(self, request: web.Request) -> web.Response:
        """Return the file, or that the browser's copy is still good."""
        headers = {"ETag": self.tag, "Cache-Control": "no-cache", "Content-Type": self.kind}
        known = [tag.strip().removeprefix("W/") for tag in _known(request)]
        if self.tag in known:
            return web.Response(status=304, headers=headers)
        return web.Response(body=self.body, headers=headers)


def page_files(folder: Path = FOLDER) -> list[PageFile]:
    """Return every file of the page; its index is at `/`."""
    found = sorted(path for path in folder.iterdir() if path.suffix in TYPES)
    return [_read(path) for path in found]


def _read(path: Path) -> PageFile:
    body = path.read_bytes()
    tag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
    return PageFile("/" if path.name == INDEX else f"/{path.name}", body, TYPES[path.suffix], tag)


def _known(request: web.Request) -> list[str]:
    return request.headers.get("If-None-Match", "").split(",")
