"""Every call of the API, as data: the clients send them, with and without `await`. Not meant for products."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, Protocol, TypeVar

from . import types as api
from ._decode import decode
from .errors import UsageError

T = TypeVar("T")


class HasId(Protocol):
    """Something with an id, such as a connection."""

    @property
    def id(self) -> str: ...


#: A connection, or its id.
ConnectionRef = HasId | str


@dataclass(frozen=True)
class Answer:
    status: int
    #: `None`: the answer had no body.
    json: object


@dataclass(frozen=True)
class Call(Generic[T]):
    method: str
    path: str
    read: Callable[[Answer], T]
    query: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | None = None
    idempotency_key: str | None = None
    #: Whether a second call does no harm when it is unknown what became of the first.
    repeatable: bool = True
    #: Whether 404 means success if an attempt before may have been carried out.
    gone_is_done: bool = False


def in_path(ref: ConnectionRef, what: str) -> str:
    """An id in a path. An empty one would name another call."""
    text: object = ref if isinstance(ref, str) else getattr(ref, "id", None)
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9_.-]*[A-Za-z0-9_-][A-Za-z0-9_.-]*", text):
        raise UsageError(f"this is not a {what}")
    return text


def given(**members: Any) -> dict[str, Any]:
    """What was given: `None` is left out."""
    return {name: value for name, value in members.items() if value is not None}


def _as(cls: type[T]) -> Callable[[Answer], T]:
    return lambda answer: decode(cls, answer.json, answer.status)


def _get(path: str, cls: type[T], query: Mapping[str, Any] | None = None) -> Call[T]:
    return Call("GET", path, _as(cls), query=query)


def _post(path: str, cls: type[T], body: Mapping[str, Any] | None = None) -> Call[T]:
    return Call("POST", path, _as(cls), body=body)


def create_session(wish: Mapping[str, Any], idempotency_key: str | None) -> Call[api.CreatedConnectSession]:
    call = _post("/v1/connect-sessions", api.CreatedConnectSession, wish)
    return replace(call, idempotency_key=idempotency_key or str(uuid.uuid4()))


def get_session(session: str) -> Call[api.ConnectSession]:
    return _get(f"/v1/connect-sessions/{in_path(session, 'session')}", api.ConnectSession)


def redeem(session: str, receipt: str, user: str) -> Call[api.RedeemedConnection]:
    path = f"/v1/connect-sessions/{in_path(session, 'session')}/redeem"
    return _post(path, api.RedeemedConnection, {"receipt": receipt, "user": user})


def _connection(ref: ConnectionRef) -> str:
    return f"/v1/connections/{in_path(ref, 'connection')}"


def get_connection(ref: ConnectionRef) -> Call[api.Connection]:
    return _get(_connection(ref), api.Connection)


def list_connections(query: Mapping[str, Any]) -> Call[api.ConnectionPage]:
    return _get("/v1/connections", api.ConnectionPage, query)


def delete_connection(ref: ConnectionRef) -> Call[Literal["deleted", "revoking"]]:
    def read(answer: Answer) -> Literal["deleted", "revoking"]:
        return "revoking" if answer.status == 202 else "deleted"

    return Call("DELETE", _connection(ref), read, gone_is_done=True)


def check_connection(ref: ConnectionRef) -> Call[api.Check]:
    return _post(f"{_connection(ref)}/check", api.Check)


def report_failure(ref: ConnectionRef, seen: Mapping[str, Any]) -> Call[api.ReportedFailure]:
    return _post(f"{_connection(ref)}/failures", api.ReportedFailure, seen)


def import_connection(body: Mapping[str, Any]) -> Call[api.ImportedConnection]:
    return _post("/v1/connections", api.ImportedConnection, body)


def get_token(connection: str, body: Mapping[str, Any], wait: int | None) -> Call[api.Token]:
    path, query = f"{_connection(connection)}/token", given(wait=wait)

    def read(answer: Answer) -> api.Token:
        # The caller's own name of the connection: it is what the cache is keyed by.
        return replace(decode(api.Token, answer.json, answer.status), connection_id=connection)

    return Call("POST" if body else "GET", path, read, query=query, body=body or None)


def list_failures(query: Mapping[str, Any]) -> Call[api.FailurePage]:
    return _get("/v1/failures", api.FailurePage, query)


def summarize_failures(query: Mapping[str, Any]) -> Call[api.FailureSummary]:
    return _get("/v1/failures/summary", api.FailureSummary, query)


def list_events(types: Sequence[str] | None, query: Mapping[str, Any]) -> Call[api.EventPage]:
    named = {"types": ",".join(types)} if types else {}
    return _get("/v1/events", api.EventPage, {**query, **named})


def get_event(event: str) -> Call[api.EventWithDeliveries]:
    return _get(f"/v1/events/{in_path(event, 'event')}", api.EventWithDeliveries)


def redeliver(event: str, endpoint: str | None) -> Call[api.EventWithDeliveries]:
    path = f"/v1/events/{in_path(event, 'event')}/redeliver"
    return _post(path, api.EventWithDeliveries, given(endpoint=endpoint))


def send_test(endpoint: str | None) -> Call[api.Event]:
    return replace(_post("/v1/webhooks/test", api.Event, given(endpoint=endpoint)), repeatable=False)


def create_ops_link() -> Call[api.OpsLink]:
    return replace(_post("/v1/ops-links", api.OpsLink), repeatable=False)
