"""The client for asyncio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx

from . import calls
from ._address import secret_address
from ._async_resources import (
    AsyncConnections,
    AsyncConnectSessions,
    AsyncEvents,
    AsyncFailures,
    AsyncOpsLinks,
    AsyncTokens,
)
from .calls import ConnectionRef
from ._client import MAX_TOKEN_CACHE, check_cache, read_settings
from ._salesforce import AsyncBearerSigner, AsyncBoundTransport, AsyncRequestSigner
from ._tokens import AsyncTokenCache, Body
from ._transport import AsyncTransport, tls
from .types import Token

T = TypeVar("T")


class AsyncLatchkey:
    """Latchkey's API, and Salesforce with tokens from Latchkey. Use it in one event loop.

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
        signer: AsyncRequestSigner | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        salesforce_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        settings = read_settings(url, api_key, timeout, attempt_timeout, max_retries)
        self._transport = AsyncTransport(settings, transport)
        self._tokens = AsyncTokenCache(self._ask, check_cache(token_cache))
        self._signer = signer or AsyncBearerSigner()
        self._salesforce_timeout = salesforce_timeout
        self._salesforce = salesforce_transport or httpx.AsyncHTTPTransport(verify=tls())
        self.connect_sessions: AsyncConnectSessions = AsyncConnectSessions(self._transport, self._tokens)
        self.connections: AsyncConnections = AsyncConnections(self._transport, self._tokens)
        self.tokens: AsyncTokens = AsyncTokens(self._tokens)
        self.failures: AsyncFailures = AsyncFailures(self._transport)
        self.events: AsyncEvents = AsyncEvents(self._transport)
        self.ops_links: AsyncOpsLinks = AsyncOpsLinks(self._transport)

    async def with_salesforce(
        self,
        connection: ConnectionRef,
        fn: Callable[[httpx.AsyncClient], Awaitable[T]],
        *,
        timeout: float | None = None,
    ) -> T:
        """Calls `fn` with an httpx client that is bound to the connection's org.

        If Salesforce answers one of its requests with 401, the token is reported to Latchkey and that request is sent
        once more. `fn` runs once.
        """
        async with await self.salesforce(connection, timeout=timeout) as client:
            return await fn(client)

    async def salesforce(
        self, connection: ConnectionRef, *, timeout: float | None = None
    ) -> httpx.AsyncClient:
        """The client that `with_salesforce` passes. Use it in an `async with` block."""
        token = await self.tokens.get(connection)
        secret_address(token.instance_url, "the connection's instance_url")
        return httpx.AsyncClient(
            base_url=token.instance_url,
            verify=tls(),
            transport=AsyncBoundTransport(self._salesforce, self._tokens, token, self._signer),
            timeout=self._salesforce_timeout if timeout is None else timeout,
            trust_env=False,
        )

    async def close(self) -> None:
        await self._transport.close()
        await self._salesforce.aclose()

    async def __aenter__(self) -> AsyncLatchkey:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _ask(self, connection: str, body: Body, wait: int | None, timeout: float | None) -> Token:
        return await self._transport.send(calls.get_token(connection, body, wait), timeout)
