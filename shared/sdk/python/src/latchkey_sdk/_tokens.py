"""Keeps each connection's token for a short time. Callers that need one at the same time share one call."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Generic, TypeVar

from .errors import LatchkeyTimeoutError, ProblemError
from .types import Token

#: Maximum connections whose tokens are kept.
MAX_CONNECTIONS = 10_000
#: Maximum fingerprints of earlier tokens that are kept for a connection.
MAX_REPLACED = 10
#: How long a refusal answers further reports of the same token: in a storm they come one after another.
SHARE_REFUSAL = 1.0

#: What a call that is under way is waited for with.
F = TypeVar("F")


@dataclass
class _Entry(Generic[F]):
    token: Token | None = None
    fetched_at: float = 0.0
    #: The fingerprint of a token that Salesforce rejected, until Latchkey has given another one.
    rejected: str | None = None
    #: Fingerprints that were reported and have a successor, the latest last.
    replaced: list[str] = field(default_factory=lambda: [])
    #: The call that is under way, and the fingerprint that it reports.
    flight: tuple[str | None, F] | None = None
    #: Why Latchkey gave no other token: the fingerprint, the error, and when.
    refusal: tuple[str, ProblemError, float] | None = None
    #: Grows with each report: the answer to an older call is not kept.
    reports: int = 0


@dataclass(frozen=True)
class Start(Generic[F]):
    """A call that has to be made."""

    entry: _Entry[F]
    rejected: str | None
    reports: int
    flight: F


class TokenLedger(Generic[F]):
    """What is known of tokens. It does no I/O, and its caller sees to it that one thread at a time uses it."""

    def __init__(self, max_age: float) -> None:
        self._max_age = max_age
        self._entries: OrderedDict[str, _Entry[F]] = OrderedDict()

    def fresh(self, connection: str, seconds: int = 0) -> Token | None:
        """The cached token, if it lives that long."""
        entry = self._entry(connection)
        token = entry.token
        if token is None or time.monotonic() - entry.fetched_at >= self._max_age:
            return None
        return token if _seconds_left(token) > seconds else None

    def rejected(self, connection: str) -> str | None:
        return self._entry(connection).rejected

    def decide(self, connection: str, fingerprint: str | None, new: Callable[[], F]) -> Token | F | Start[F]:
        """A token, a call to wait for, or a call to make; after a report if there is a fingerprint."""
        entry = self._entry(connection)
        cached = self.fresh(connection)
        if fingerprint is not None and fingerprint in entry.replaced:
            # A late report: what became of the token after it is known already.
            fingerprint = None
        if fingerprint is None:
            if cached is not None:
                return cached
            fingerprint = entry.rejected
        elif cached is not None and cached.fingerprint != fingerprint:
            return cached
        if fingerprint is not None:
            entry.token, entry.rejected = None, fingerprint
            if entry.refusal is not None and entry.refusal[0] == fingerprint:
                if time.monotonic() - entry.refusal[2] < SHARE_REFUSAL:
                    raise entry.refusal[1]
        if entry.flight is not None and entry.flight[0] == fingerprint:
            return entry.flight[1]
        entry.reports += 0 if fingerprint is None else 1
        flight = new()
        entry.flight = (fingerprint, flight)
        return Start(entry, fingerprint, entry.reports, flight)

    def finish(self, start: Start[F], outcome: Token | BaseException) -> None:
        """Takes down what came of a call."""
        entry, rejected = start.entry, start.rejected
        if entry.flight is not None and entry.flight[1] is start.flight:
            entry.flight = None
        if isinstance(outcome, BaseException):
            if rejected is not None and isinstance(outcome, ProblemError):
                entry.refusal = (rejected, outcome, time.monotonic())
            return
        if rejected is not None and entry.rejected == rejected:
            entry.rejected = None
        if rejected is not None and outcome.fingerprint != rejected:
            entry.replaced = [*entry.replaced, rejected][-MAX_REPLACED:]
        self._keep(entry, outcome, start.reports)

    def keep(self, connection: str, token: Token, reports: int) -> None:
        self._keep(self._entry(connection), token, reports)

    def reports(self, connection: str) -> int:
        return self._entry(connection).reports

    def forget(self, connection: str) -> None:
        self._entries.pop(connection, None)

    def _keep(self, entry: _Entry[F], token: Token, reports: int) -> None:
        if reports != entry.reports:
            return
        entry.token, entry.fetched_at = token, time.monotonic()
        entry.replaced = [old for old in entry.replaced if old != token.fingerprint]

    def _entry(self, connection: str) -> _Entry[F]:
        entry = self._entries.setdefault(connection, _Entry())
        self._entries.move_to_end(connection)
        if len(self._entries) > MAX_CONNECTIONS:
            self._entries.popitem(last=False)
        return entry


def _seconds_left(token: Token) -> float:
    try:
        expires = datetime.fromisoformat(token.expires_at.replace("Z", "+00:00"))
    except ValueError:
        return -1.0
    aware = expires if expires.tzinfo else expires.replace(tzinfo=timezone.utc)
    return (aware - datetime.now(timezone.utc)).total_seconds()


Body = dict[str, object]


class TokenCache:
    """For threads."""

    def __init__(self, ask: Callable[[str, Body, int | None, float | None], Token], max_age: float) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._ledger: TokenLedger[Future[Token]] = TokenLedger(max_age)

    def get(
        self, connection: str, minimum_lifetime: int = 0, wait: int | None = None, timeout: float | None = None
    ) -> Token:
        if minimum_lifetime or wait is not None:
            with self._lock:
                cached = self._ledger.fresh(connection, minimum_lifetime)
                is_rejected = self._ledger.rejected(connection) is not None
                reports = self._ledger.reports(connection)
            if cached is not None:
                return cached
            if not is_rejected:
                body: Body = {"minimum_lifetime": minimum_lifetime} if minimum_lifetime else {}
                token = self._ask(connection, body, wait, timeout)
                with self._lock:
                    self._ledger.keep(connection, token, reports)
                return token
        token = self._share(connection, None, timeout)
        with self._lock:
            is_rejected = token.fingerprint == self._ledger.rejected(connection)
        # Somebody may have reported it while it was on its way.
        return self._share(connection, token.fingerprint, timeout) if is_rejected else token

    def replace(self, connection: str, fingerprint: str, timeout: float | None = None) -> Token:
        """The token after the one that Salesforce answered with 401. However many report it, one call is made."""
        return self._share(connection, fingerprint, timeout)

    def forget(self, connection: str) -> None:
        with self._lock:
            self._ledger.forget(connection)

    def _share(self, connection: str, fingerprint: str | None, timeout: float | None) -> Token:
        with self._lock:
            decision = self._ledger.decide(connection, fingerprint, Future)
        if isinstance(decision, Token):
            return decision
        if isinstance(decision, Future):
            try:
                return decision.result(timeout)
            except (TimeoutError, FutureTimeoutError) as error:
                if isinstance(error, LatchkeyTimeoutError):
                    raise
                raise LatchkeyTimeoutError("no token came in time") from None
        try:
            body: Body = {} if decision.rejected is None else {"rejected": decision.rejected}
            token = self._ask(connection, body, None, timeout)
        except BaseException as error:
            with self._lock:
                self._ledger.finish(decision, error)
            decision.flight.set_exception(error)
            raise
        with self._lock:
            self._ledger.finish(decision, token)
        decision.flight.set_result(token)
        return token


class AsyncTokenCache:
    """For one event loop. A caller that is canceled does not end a call that others share."""

    def __init__(
        self, ask: Callable[[str, Body, int | None, float | None], Awaitable[Token]], max_age: float
    ) -> None:
        self._ask = ask
        self._ledger: TokenLedger[asyncio.Future[Token]] = TokenLedger(max_age)
        #: Event loops hold tasks weakly.
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(
        self, connection: str, minimum_lifetime: int = 0, wait: int | None = None, timeout: float | None = None
    ) -> Token:
        if minimum_lifetime or wait is not None:
            cached = self._ledger.fresh(connection, minimum_lifetime)
            if cached is not None:
                return cached
            if self._ledger.rejected(connection) is None:
                reports = self._ledger.reports(connection)
                body: Body = {"minimum_lifetime": minimum_lifetime} if minimum_lifetime else {}
                token = await self._ask(connection, body, wait, timeout)
                self._ledger.keep(connection, token, reports)
                return token
        token = await self._share(connection, None, timeout)
        # Somebody may have reported it while it was on its way.
        is_rejected = token.fingerprint == self._ledger.rejected(connection)
        return await self._share(connection, token.fingerprint, timeout) if is_rejected else token

    async def replace(self, connection: str, fingerprint: str, timeout: float | None = None) -> Token:
        """The token after the one that Salesforce answered with 401. However many report it, one call is made."""
        return await self._share(connection, fingerprint, timeout)

    def forget(self, connection: str) -> None:
        self._ledger.forget(connection)

    async def _share(self, connection: str, fingerprint: str | None, timeout: float | None) -> Token:
        decision = self._ledger.decide(connection, fingerprint, asyncio.get_running_loop().create_future)
        if isinstance(decision, Token):
            return decision
        flight = decision
        if isinstance(decision, Start):
            flight = decision.flight
            task = asyncio.create_task(self._fetch(connection, decision, timeout))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        assert isinstance(flight, asyncio.Future)
        try:
            return await asyncio.wait_for(asyncio.shield(flight), timeout)
        except asyncio.TimeoutError as error:
            if isinstance(error, LatchkeyTimeoutError):
                raise
            raise LatchkeyTimeoutError("no token came in time") from None

    async def _fetch(
        self, connection: str, start: Start[asyncio.Future[Token]], timeout: float | None
    ) -> None:
        try:
            body: Body = {} if start.rejected is None else {"rejected": start.rejected}
            token = await self._ask(connection, body, None, timeout)
        except asyncio.CancelledError as error:
            self._ledger.finish(start, error)
            start.flight.cancel()
            raise
        except BaseException as error:
            self._ledger.finish(start, error)
            start.flight.set_exception(error)
            # Every caller may have stopped waiting: the failure is then nobody's.
            start.flight.exception()
            return
        self._ledger.finish(start, token)
        start.flight.set_result(token)
