"""Written from _resources.py by tools/make_async.py: do not edit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qs, urlsplit

from . import calls
from . import types as api
from .calls import ConnectionRef, given
from ._tokens import AsyncTokenCache
from ._transport import AsyncTransport
from .errors import UnexpectedAnswerError

P = TypeVar("P", api.ConnectionPage, api.FailurePage)


async def _pages(load: Callable[[str | None], Awaitable[P]]) -> AsyncIterator[P]:
    """Follows `next` until there is none."""
    after: str | None = None
    while True:
        page = await load(after)
        yield page
        if page.next is None:
            return
        if page.next == after:
            raise UnexpectedAnswerError("Latchkey answered with the same page again", 200)
        after = page.next


class AsyncConnectSessions:
    def __init__(self, transport: AsyncTransport, tokens: AsyncTokenCache) -> None:
        self._transport = transport
        self._tokens = tokens

    async def create(
        self,
        *,
        user: str,
        customer: api.CustomerParam | None = None,
        user_name: str | None = None,
        connection_id: str | None = None,
        app: str | None = None,
        return_to: str | None = None,
        environment: Literal["production", "sandbox"] | None = None,
        my_domain: str | None = None,
        expires_in: int | None = None,
        scopes: Sequence[str] | None = None,
        another: bool | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> api.CreatedConnectSession:
        """Makes a link with which one user connects one org. Redirect the user to its `connect_url`."""
        wish = given(
            user=user,
            customer=customer,
            user_name=user_name,
            connection_id=connection_id,
            app=app,
            return_to=return_to,
            environment=environment,
            my_domain=my_domain,
            expires_in=expires_in,
            scopes=scopes,
            another=another,
        )
        return await self._transport.send(calls.create_session(wish, idempotency_key), timeout)

    async def get(self, session: str, *, timeout: float | None = None) -> api.ConnectSession:
        return await self._transport.send(calls.get_session(session), timeout)

    async def redeem(
        self, session: str, *, receipt: str, user: str, timeout: float | None = None
    ) -> api.RedeemedConnection:
        """Turns a receipt into a connection. Pass the user who is signed in to your product in that browser."""
        connection = await self._transport.send(calls.redeem(session, receipt, user), timeout)
        # It may be another user's or org's than before.
        self._tokens.forget(connection.id)
        return connection

    async def redeem_return(
        self, address: str, *, session: str | None, user: str, timeout: float | None = None
    ) -> api.RedeemedConnection | None:
        """Redeems what a browser brought to your return address: pass the request's address or path.

        `session` is the id of the session that you made for this browser, from your own login session.
        `None`: there is nothing to redeem, or it is another session. Show your own page then.
        """
        query = parse_qs(urlsplit(address).query)
        returned, receipt = query.get("connect_session", [""])[0], query.get("receipt", [""])[0]
        if not returned or not receipt or returned != session:
            return None
        return await self.redeem(returned, receipt=receipt, user=user, timeout=timeout)


class AsyncConnections:
    def __init__(self, transport: AsyncTransport, tokens: AsyncTokenCache) -> None:
        self._transport = transport
        self._tokens = tokens

    async def get(self, connection: ConnectionRef, *, timeout: float | None = None) -> api.Connection:
        return await self._transport.send(calls.get_connection(connection), timeout)

    async def list(
        self,
        *,
        customer: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        timeout: float | None = None,
    ) -> api.ConnectionPage:
        """One page. `iterate` follows the pages."""
        query = given(customer=customer, limit=limit, after=after)
        return await self._transport.send(calls.list_connections(query), timeout)

    async def iterate(
        self, *, customer: str | None = None, limit: int | None = None, timeout: float | None = None
    ) -> AsyncIterator[api.ListedConnection]:
        """Each connection, page after page."""

        async def load(after: str | None) -> api.ConnectionPage:
            return await self.list(customer=customer, limit=limit, after=after, timeout=timeout)

        async for page in _pages(load):
            for connection in page.connections:
                yield connection

    async def delete(
        self, connection: ConnectionRef, *, timeout: float | None = None
    ) -> Literal["deleted", "revoking"]:
        """Revokes at Salesforce, then deletes. `revoking`: it gives no token anymore, and Latchkey goes on revoking."""
        self._tokens.forget(calls.in_path(connection, "connection"))
        return await self._transport.send(calls.delete_connection(connection), timeout)

    async def check(self, connection: ConnectionRef, *, timeout: float | None = None) -> api.Check:
        """Asks Salesforce whether the connection works, and what is wrong with it."""
        return await self._transport.send(calls.check_connection(connection), timeout)

    async def report_failure(
        self,
        connection: ConnectionRef,
        *,
        code: str | None = None,
        message: str | None = None,
        http_status: int | None = None,
        body: Sequence[api.ReportedError] | None = None,
        raw: str | None = None,
        timeout: float | None = None,
    ) -> api.ReportedFailure:
        """Reports what Salesforce's API answered, for a diagnosis. Do not report a 401: `with_salesforce` does."""
        seen = given(code=code, message=message, http_status=http_status, body=body, raw=raw)
        return await self._transport.send(calls.report_failure(connection, seen), timeout)

    async def import_token(
        self,
        *,
        refresh_token: str,
        customer: api.CustomerParam,
        user: str,
        app: str | None = None,
        environment: Literal["production", "sandbox"] | None = None,
        my_domain: str | None = None,
        another: bool | None = None,
        timeout: float | None = None,
    ) -> api.ImportedConnection:
        """Makes a connection of a refresh token that you hold. Calling again with the same token is safe."""
        body = given(
            refresh_token=refresh_token,
            customer=customer,
            user=user,
            app=app,
            environment=environment,
            my_domain=my_domain,
            another=another,
        )
        connection = await self._transport.send(calls.import_connection(body), timeout)
        self._tokens.forget(connection.id)
        return connection


class AsyncTokens:
    """For calls to Salesforce, `with_salesforce` does all of this."""

    def __init__(self, tokens: AsyncTokenCache) -> None:
        self._tokens = tokens

    async def get(
        self,
        connection: ConnectionRef,
        *,
        minimum_lifetime: int = 0,
        wait: int | None = None,
        timeout: float | None = None,
    ) -> api.Token:
        """A working token. One that is younger than the cache's limit is returned without a call."""
        name = calls.in_path(connection, "connection")
        return await self._tokens.get(name, minimum_lifetime, wait, timeout)

    async def replace(
        self, connection: ConnectionRef, fingerprint: str, *, timeout: float | None = None
    ) -> api.Token:
        """Reports that Salesforce answered the token with this fingerprint with 401: the token after it."""
        return await self._tokens.replace(calls.in_path(connection, "connection"), fingerprint, timeout)


class AsyncFailures:
    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(
        self,
        *,
        cause: str | None = None,
        app: str | None = None,
        stage: api.FailureStage | None = None,
        environment: api.Environment | None = None,
        customer: str | None = None,
        provenance: api.Provenance | None = None,
        resolved: bool | None = None,
        start: str | None = None,
        end: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        timeout: float | None = None,
    ) -> api.FailurePage:
        """One page, the latest failures first; `start` and `end` are the API's `from` and `to`."""
        query = _failure_query(cause, app, stage, environment, customer, provenance, resolved, start, end)
        return await self._transport.send(calls.list_failures({**query, **given(limit=limit, after=after)}), timeout)

    async def iterate(
        self,
        *,
        cause: str | None = None,
        app: str | None = None,
        stage: api.FailureStage | None = None,
        environment: api.Environment | None = None,
        customer: str | None = None,
        provenance: api.Provenance | None = None,
        resolved: bool | None = None,
        start: str | None = None,
        end: str | None = None,
        limit: int | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[api.Failure]:
        """Each failure, page after page, the latest first."""
        query = _failure_query(cause, app, stage, environment, customer, provenance, resolved, start, end)

        async def load(after: str | None) -> api.FailurePage:
            more = given(limit=limit, after=after)
            return await self._transport.send(calls.list_failures({**query, **more}), timeout)

        async for page in _pages(load):
            for failure in page.failures:
                yield failure

    async def summarize(
        self,
        *,
        start: str | None = None,
        end: str | None = None,
        bucket: Literal["day", "hour"] | None = None,
        by: str | None = None,
        app: str | None = None,
        environment: api.Environment | None = None,
        timeout: float | None = None,
    ) -> api.FailureSummary:
        query = given(bucket=bucket, by=by, app=app, environment=environment, to=end, **{"from": start})
        return await self._transport.send(calls.summarize_failures(query), timeout)


class AsyncEvents:
    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(
        self,
        *,
        after: str | None = None,
        types: Sequence[str] | None = None,
        connection: str | None = None,
        customer: str | None = None,
        limit: int | None = None,
        timeout: float | None = None,
    ) -> api.EventPage:
        """One page of the feed, in the order in which the events were recorded."""
        query = given(after=after, connection=connection, customer=customer, limit=limit)
        return await self._transport.send(calls.list_events(types, query), timeout)

    async def pages(
        self,
        *,
        after: str | None = None,
        types: Sequence[str] | None = None,
        connection: str | None = None,
        customer: str | None = None,
        limit: int | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[api.EventPage]:
        """The pages that can be read now. Store each page's `next`, and pass it as `after` the next time."""
        while True:
            page = await self.list(
                after=after,
                types=types,
                connection=connection,
                customer=customer,
                limit=limit,
                timeout=timeout,
            )
            yield page
            if not page.has_more:
                return
            if page.next == after:
                raise UnexpectedAnswerError("Latchkey answered with the same page again", 200)
            after = page.next

    async def get(self, event: str, *, timeout: float | None = None) -> api.EventWithDeliveries:
        return await self._transport.send(calls.get_event(event), timeout)

    async def redeliver(
        self, event: str, *, endpoint: str | None = None, timeout: float | None = None
    ) -> api.EventWithDeliveries:
        """Sends an event again: to every endpoint that receives its type, or to one."""
        return await self._transport.send(calls.redeliver(event, endpoint), timeout)

    async def send_test(self, *, endpoint: str | None = None, timeout: float | None = None) -> api.Event:
        """Sends a test event to all endpoints, or to one."""
        return await self._transport.send(calls.send_test(endpoint), timeout)


class AsyncOpsLinks:
    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(self, *, timeout: float | None = None) -> api.OpsLink:
        """Makes a link to the operators' page. It works once, within ten minutes."""
        return await self._transport.send(calls.create_ops_link(), timeout)


def _failure_query(
    cause: str | None,
    app: str | None,
    stage: str | None,
    environment: str | None,
    customer: str | None,
    provenance: str | None,
    resolved: bool | None,
    start: str | None,
    end: str | None,
) -> Mapping[str, Any]:
    return given(
        cause=cause,
        app=app,
        stage=stage,
        environment=environment,
        customer=customer,
        provenance=provenance,
        resolved=resolved,
        to=end,
        **{"from": start},
    )
