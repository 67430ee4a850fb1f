"""Verifies webhook deliveries (Standard Webhooks), and handles each event once."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, Protocol

from ._decode import decode
from .errors import UnexpectedAnswerError, UsageError, WebhookVerificationError
from .types import Event

#: What became of a delivery. Answer each of them with 2xx.
HandleOutcome = Literal["handled", "duplicate", "outdated"]

#: How far a delivery's time may be from now, in seconds.
TOLERANCE = 300.0
#: Maximum events and connections that the store in memory remembers.
MAX_REMEMBERED = 100_000
#: Maximum signatures of a delivery that are looked at.
MAX_SIGNATURES = 10


class WebhookStore(Protocol):
    """Remembers which events were handled. Back it with your database if you have several processes."""

    def has_handled(self, event_id: str) -> bool: ...

    def highest_sequence(self, connection_id: str) -> int | None:
        """The highest sequence that was handled of this connection."""
        ...

    def save(self, event_id: str, connection_id: str | None, sequence: int | None) -> None:
        """Called after an event was handled. Keep the highest sequence."""
        ...


class AsyncWebhookStore(Protocol):
    """The same for `AsyncWebhookReceiver`."""

    async def has_handled(self, event_id: str) -> bool: ...

    async def highest_sequence(self, connection_id: str) -> int | None: ...

    async def save(self, event_id: str, connection_id: str | None, sequence: int | None) -> None: ...


def verify_webhook(
    headers: Mapping[str, str],
    body: bytes | str,
    *,
    secret: str | Sequence[str],
    tolerance: float = TOLERANCE,
) -> Event:
    """Verifies a delivery and returns its event. Pass the body as it came in. Raises `WebhookVerificationError`.

    `secret` is the endpoint's (`whsec_…`); while it is being rotated, both.
    """
    event_id, timestamp, signatures = (_header(headers, f"webhook-{name}") for name in ("id", "timestamp", "signature"))
    if not event_id or not timestamp or not signatures:
        raise WebhookVerificationError("a webhook header is missing")
    if not re.fullmatch(r"[0-9]{1,12}", timestamp):
        raise WebhookVerificationError("the timestamp is not a number")
    if abs(time.time() - int(timestamp)) > tolerance:
        raise WebhookVerificationError("the timestamp is too far from now")
    raw = body.encode() if isinstance(body, str) else bytes(body)
    signed = f"{event_id}.{timestamp}.".encode() + raw
    given = [text[3:].encode() for text in signatures.split(" ")[:MAX_SIGNATURES] if text.startswith("v1,")]
    right = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in _keys(secret)]
    # Every pair is compared, in constant time.
    if not any([hmac.compare_digest(one, other) for one in given for other in right]):
        raise WebhookVerificationError("no signature is right")
    return _event(raw, event_id)


class MemoryStore:
    """Remembers the latest events, in this process."""

    def __init__(self) -> None:
        self._events: OrderedDict[str, None] = OrderedDict()
        self._sequences: OrderedDict[str, int] = OrderedDict()

    def has_handled(self, event_id: str) -> bool:
        return event_id in self._events

    def highest_sequence(self, connection_id: str) -> int | None:
        return self._sequences.get(connection_id)

    def save(self, event_id: str, connection_id: str | None, sequence: int | None) -> None:
        self._events[event_id] = None
        if len(self._events) > MAX_REMEMBERED:
            self._events.popitem(last=False)
        if connection_id is None or sequence is None:
            return
        self._sequences[connection_id] = max(sequence, self._sequences.get(connection_id, 0))
        self._sequences.move_to_end(connection_id)
        if len(self._sequences) > MAX_REMEMBERED:
            self._sequences.popitem(last=False)


class AsyncMemoryStore:
    """The same for `AsyncWebhookReceiver`."""

    def __init__(self) -> None:
        self._store = MemoryStore()

    async def has_handled(self, event_id: str) -> bool:
        return self._store.has_handled(event_id)

    async def highest_sequence(self, connection_id: str) -> int | None:
        return self._store.highest_sequence(connection_id)

    async def save(self, event_id: str, connection_id: str | None, sequence: int | None) -> None:
        self._store.save(event_id, connection_id, sequence)


class WebhookReceiver:
    """Handles each event once, and ignores an event of a connection that is older than one that was handled."""

    def __init__(
        self, *, secret: str | Sequence[str], store: WebhookStore | None = None, tolerance: float = TOLERANCE
    ) -> None:
        _keys(secret)
        self._secret = secret
        self._store = store or MemoryStore()
        self._tolerance = tolerance
        self._lock = threading.Lock()
        #: By event or connection: the lock of those who handle it, and how many they are.
        self._queues: dict[str, tuple[threading.Lock, int]] = {}

    def handle(
        self, headers: Mapping[str, str], body: bytes | str, handler: Callable[[Event], object]
    ) -> HandleOutcome:
        """Verifies a delivery and calls `handler` with its event.

        An event counts as handled once `handler` has returned: if it raises, answer with 500, and Latchkey sends the
        event again.
        """
        event = verify_webhook(headers, body, secret=self._secret, tolerance=self._tolerance)
        connection, sequence = _order(event)
        key = connection or event.id
        with self._lock:
            turn, waiting = self._queues.get(key, (threading.Lock(), 0))
            self._queues[key] = (turn, waiting + 1)
        try:
            with turn:
                if self._store.has_handled(event.id):
                    return "duplicate"
                highest = None if connection is None else self._store.highest_sequence(connection)
                is_outdated = _is_outdated(sequence, highest)
                if not is_outdated:
                    handler(event)
                self._store.save(event.id, connection, sequence)
                return "outdated" if is_outdated else "handled"
        finally:
            with self._lock:
                _, waiting = self._queues[key]
                if waiting == 1:
                    del self._queues[key]
                else:
                    self._queues[key] = (turn, waiting - 1)


class AsyncWebhookReceiver:
    """Handles each event once, and ignores an event of a connection that is older than one that was handled."""

    def __init__(
        self,
        *,
        secret: str | Sequence[str],
        store: AsyncWebhookStore | None = None,
        tolerance: float = TOLERANCE,
    ) -> None:
        _keys(secret)
        self._secret = secret
        self._store = store or AsyncMemoryStore()
        self._tolerance = tolerance
        #: By event or connection: the lock of those who handle it, and how many they are.
        self._queues: dict[str, tuple[asyncio.Lock, int]] = {}

    async def handle(
        self, headers: Mapping[str, str], body: bytes | str, handler: Callable[[Event], Awaitable[object]]
    ) -> HandleOutcome:
        """Verifies a delivery and calls `handler` with its event.

        An event counts as handled once `handler` has returned: if it raises, answer with 500, and Latchkey sends the
        event again.
        """
        event = verify_webhook(headers, body, secret=self._secret, tolerance=self._tolerance)
        connection, sequence = _order(event)
        key = connection or event.id
        turn, waiting = self._queues.get(key, (asyncio.Lock(), 0))
        self._queues[key] = (turn, waiting + 1)
        try:
            async with turn:
                if await self._store.has_handled(event.id):
                    return "duplicate"
                highest = None if connection is None else await self._store.highest_sequence(connection)
                is_outdated = _is_outdated(sequence, highest)
                if not is_outdated:
                    await handler(event)
                await self._store.save(event.id, connection, sequence)
                return "outdated" if is_outdated else "handled"
        finally:
            _, waiting = self._queues[key]
            if waiting == 1:
                del self._queues[key]
            else:
                self._queues[key] = (turn, waiting - 1)


def _order(event: Event) -> tuple[str | None, int | None]:
    """The connection and the sequence of an event that has an order."""
    connection, sequence = event.data.connection_id, event.data.sequence
    is_ordered = event.type.startswith("connection.") and connection is not None and sequence is not None
    return (connection, sequence) if is_ordered else (None, None)


def _is_outdated(sequence: int | None, highest: int | None) -> bool:
    # An equal sequence is not older: `connection.expiring` has the sequence of the change before it.
    return sequence is not None and highest is not None and sequence < highest


def _header(headers: Mapping[str, str], name: str) -> str | None:
    found = [value for given, value in headers.items() if given.lower() == name]
    return found[0] if len(found) == 1 else None


def _keys(secret: str | Sequence[str]) -> list[bytes]:
    texts = [secret] if isinstance(secret, str) else list(secret)
    if not texts:
        raise UsageError("a webhook secret is needed")
    keys: list[bytes] = []
    for text in texts:
        try:
            key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not key:
            raise UsageError("a webhook secret is whsec_ and base64")
        keys.append(key)
    return keys


def _event(raw: bytes, event_id: str) -> Event:
    try:
        event = decode(Event, json.loads(raw))
    except (ValueError, UnexpectedAnswerError):
        raise WebhookVerificationError("the body is not an event") from None
    if event.id != event_id:
        raise WebhookVerificationError("the body is not the event that the headers name")
    return event
