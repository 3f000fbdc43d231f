"""Who may talk to the server: a token, and pages of the right origin only."""

import hmac
import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
MIN_TOKEN = 16
_QUERY_NAMES = ("token", "worker_auth_id")  # the second is the official web client's


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True)
class Access:
    """The rules of a server.

    Args:
        host: that it listens on.
        token: that clients must know, in the header ``Authorization: Bearer`` or in the query; None: none is needed.
        origins: of pages elsewhere that may talk to it, like ``https://example.org``.

    Raises:
        ValueError: if others could reach the server without a token, or a rule makes no sense.
    """

    host: str
    token: str | None = None
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.token is None and not is_loopback(self.host):
            raise ValueError(
                f"on {self.host} others can reach the server: give a token (--token WORD, or the environment's "
                f"MOSHI_ZOO_TOKEN; --token new makes one)"
            )
        if self.token is not None and len(self.token) < MIN_TOKEN:
            raise ValueError(
                f"a token of {len(self.token)} characters can be guessed: take {MIN_TOKEN} or more, or --token new"
            )
        for origin in self.origins:
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or f"{parts.scheme}://{parts.netloc}" != origin:
                raise ValueError(f"--allow-origin {origin}: it should be like https://example.org")

    def is_known(self, request: web.Request) -> bool:
        """Whether the request carries the token."""
        if self.token is None:
            return True
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        candidates = [given.strip()] if scheme.lower() == "bearer" else []
        candidates += [request.query[name] for name in _QUERY_NAMES if name in request.query]
        return any(hmac.compare_digest(_bytes(candidate), _bytes(self.token)) for candidate in candidates)

    def may_come_from(self, request: web.Request) -> bool:
        """Whether the page that sent the request is ours or one of ``origins``. Programs send no origin and may.

        Without a token the address must be a loopback one too: a foreign page whose name was made to lead here has an
        origin and a host that agree.
        """
        host = request.headers.get("Host", "")
        allowed_hosts = {urlsplit(origin).netloc for origin in self.origins}
        if self.token is None and _name_of(host) not in _LOOPBACK_NAMES and host not in allowed_hosts:
            return False
        origin = request.headers.get("Origin")
        return origin is None or origin in self.origins or origin in (f"http://{host}", f"https://{host}")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # headers may hold any bytes


def _name_of(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
