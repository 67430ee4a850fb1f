"""The client for threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import httpx

from . import calls
from ._address import secret_address
from .calls import ConnectionRef
from ._resources import Connections, ConnectSessions, Events, Failures, OpsLinks, Tokens
from ._salesforce import BearerSigner, BoundTransport, RequestSigner
from ._tokens import Body, TokenCache
from ._transport import Settings, Transport, tls
from .errors import UsageError
from .types import Token

T = TypeVar("T")

#: Maximum age of a cached token, in seconds.
MAX_TOKEN_CACHE = 60.0


def read_settings(
    url: str | None, api_key: str | None, timeout: float, attempt_timeout: float, max_retries: int
) -> Settings:
    url, api_key = url or os.environ.get("LATCHKEY_URL"), api_key or os.environ.get("LATCHKEY_API_KEY")
    if not url or not api_key:
        raise UsageError("url and api_key are needed, or LATCHKEY_URL and LATCHKEY_API_KEY")
    return Settings.read(url, api_key, timeout, attempt_timeout, max_retries)


def check_cache(seconds: float) -> float:
    if not 0 <= seconds <= MAX_TOKEN_CACHE:
        raise UsageError("token_cache must be 0 to 60 seconds")
    return seconds


class Latchkey:
    """Latchkey's API, and Salesforce with tokens from Latchkey. Threads may share it.

    `timeout` is for a call with its retries, `attempt_timeout` for one attempt, `salesforce_timeout` for the steps of a
    request to Salesforce, `token_cache` says how long a token is used without asking Latchkey: all in seconds.
    `transport` and `salesforce_transport` send the requests, for example through a proxy.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 60.0,
        attempt_timeout: float = 30.0,
        max_retries: int = 2,
        salesforce_timeout: float = 120.0,
        token_cache: float = MAX_TOKEN_CACHE,
        signer: RequestSigner | None = None,
        transport: httpx.BaseTransport | None = None,
        salesforce_transport: httpx.BaseTransport | None = None,
    ) -> None:
        settings = read_settings(url, api_key, timeout, attempt_timeout, max_retries)
        self._transport = Transport(settings, transport)
        self._tokens = TokenCache(self._ask, check_cache(token_cache))
        self._signer = signer or BearerSigner()
        self._salesforce_timeout = salesforce_timeout
        self._salesforce = salesforce_transport or httpx.HTTPTransport(verify=tls())
        self.connect_sessions: ConnectSessions = ConnectSessions(self._transport, self._tokens)
        self.connections: Connections = Connections(self._transport, self._tokens)
        self.tokens: Tokens = Tokens(self._tokens)
        self.failures: Failures = Failures(self._transport)
        self.events: Events = Events(self._transport)
        self.ops_links: OpsLinks = OpsLinks(self._transport)

    def with_salesforce(
        self, connection: ConnectionRef, fn: Callable[[httpx.Client], T], *, timeout: float | None = None
    ) -> T:
        """Calls `fn` with an httpx client that is bound to the connection's org.

        If Salesforce answers one of its requests with 401, the token is reported to Latchkey and that request is sent
        once more. `fn` runs once.
        """
        with self.salesforce(connection, timeout=timeout) as client:
            return fn(client)

    def salesforce(self, connection: ConnectionRef, *, timeout: float | None = None) -> httpx.Client:
        """The client that `with_salesforce` passes. Use it in a `with` block."""
        token = self.tokens.get(connection)
        secret_address(token.instance_url, "the connection's instance_url")
        return httpx.Client(
            base_url=token.instance_url,
            verify=tls(),
            transport=BoundTransport(self._salesforce, self._tokens, token, self._signer),
            timeout=self._salesforce_timeout if timeout is None else timeout,
            trust_env=False,
        )

    def close(self) -> None:
        self._transport.close()
        self._salesforce.close()

    def __enter__(self) -> Latchkey:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, connection: str, body: Body, wait: int | None, timeout: float | None) -> Token:
        return self._transport.send(calls.get_token(connection, body, wait), timeout)
