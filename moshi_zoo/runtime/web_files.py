"""The files of a web client, read-only, from one folder."""

import base64
import hashlib
import re
from pathlib import Path

from aiohttp import web

OUR_CLIENT = Path(__file__).parent / "web"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".ico": "image/x-icon",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".mp3": "audio/mpeg",
    ".wav": "audio/wav",
    ".txt": "text/plain; charset=utf-8",
}
_INLINE_SCRIPT = re.compile(r"<script(?![^>]*\bsrc\s*=)[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)
_NOTHING_ELSE = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_OUR_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " + _NOTHING_ELSE
)
_OTHERS_POLICY = (  # bundlers put small worklets and pictures into the text, and decoders are WebAssembly
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' blob: data:{scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' data: blob:; connect-src 'self' data:; "
    "worker-src 'self' blob: data:; manifest-src 'self'; " + _NOTHING_ELSE
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the token may be in the page's address
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cache-Control": "no-cache",
}


class WebFiles:
    """Serves a folder.

    Args:
        folder: holds ``index.html`` and what it needs. Hidden files, and links that lead out of it, are not served.

    Raises:
        ValueError: if there is no page.
    """

    def __init__(self, folder: Path):
        if not (folder / "index.html").is_file():
            raise ValueError(f"{folder} has no index.html: --static takes the folder of a built web client")
        self._folder = folder.resolve()
        self._is_ours = self._folder == OUR_CLIENT.resolve()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The file that a request names."""
        path = self._find(request.match_info["path"] or "index.html")
        if path is None:
            return web.Response(status=404, text="There is no such file.\n", headers=HEADERS)
        headers = {**HEADERS, "Content-Type": _TYPES.get(path.suffix.lower(), "application/octet-stream")}
        if path.suffix.lower() == ".html":
            headers["Content-Security-Policy"] = self._policy(path)
        return web.FileResponse(path, headers=headers)

    def _find(self, name: str) -> Path | None:
        if "\0" in name or any(part.startswith(".") for part in name.split("/")):
            return None
        path = (self._folder / name.lstrip("/")).resolve()
        return path if path.is_file() and path.is_relative_to(self._folder) else None

    def _policy(self, page: Path) -> str:
        """Nothing from elsewhere; of scripts within another client's page only those that it has now."""
        if self._is_ours:
            return _OUR_POLICY
        scripts = _INLINE_SCRIPT.findall(page.read_text(encoding="utf-8"))
        digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
        return _OTHERS_POLICY.format(scripts="".join(f" 'sha256-{digest}'" for digest in digests))
