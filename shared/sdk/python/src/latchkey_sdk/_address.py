"""Addresses that a secret may be sent to, and names of this machine."""

from __future__ import annotations

import re

import httpx

from .errors import UsageError

_LOCAL = re.compile(r"localhost|.+\.localhost|127(\.\d+){3}|::1")


def secret_address(text: str, what: str) -> httpx.URL:
    """An address that a secret may be sent to: https, or http on this machine."""
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError):
        raise UsageError(f"{what} is not an address") from None
    is_local = url.scheme == "http" and _LOCAL.fullmatch(url.host) is not None
    if not (url.scheme == "https" and url.host or is_local) or url.userinfo:
        raise UsageError(f"{what} must be an https address")
    return url


def origin(url: httpx.URL) -> tuple[str, str, int | None]:
    default = {"http": 80, "https": 443}.get(url.scheme)
    return (url.scheme, url.host, url.port or default)


def on_this_machine(url: httpx.URL) -> httpx.URL:
    """Names below `localhost` are this machine, which many resolvers do not know (RFC 6761 §6.3)."""
    is_local = url.scheme == "http" and url.host.endswith(".localhost")
    return url.copy_with(host="127.0.0.1") if is_local else url


def host_header(url: httpx.URL) -> str:
    return url.netloc.decode("ascii")
