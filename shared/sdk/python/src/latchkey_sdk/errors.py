"""What this package raises. No error holds a key, a token, a receipt or a body that was sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from .types import Actor, Incident

_PREFIX = "urn:latchkey:problem:"
_ACTORS: dict[str, Actor] = {
    "reauthorization-needed": "end_user",
    "blocked-by-org": "admin",
    "vendor-incident": "vendor",
    "token-not-ready": "wait",
    "not-sent": "wait",
    "salesforce-unavailable": "wait",
    "import-under-way": "wait",
    "unavailable": "wait",
}


class LatchkeyError(Exception):
    """The base of every error that this package raises."""


class UsageError(LatchkeyError, ValueError):
    """The client or a call was set up in a way that cannot work. Nothing was sent."""


class UnreachableError(LatchkeyError):
    """There was no answer: no connection, or it broke off."""


class LatchkeyTimeoutError(LatchkeyError, TimeoutError):
    """There was no answer in time."""


class UnexpectedAnswerError(LatchkeyError):
    """There was an answer, and it is not one that the API gives."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status: int = status


class WebhookVerificationError(LatchkeyError):
    """A webhook delivery that is not Latchkey's, or too old. Answer it with 401."""


class OtherOriginError(LatchkeyError):
    """A request that would have left the connection's org. Nothing was sent."""


class ProblemError(LatchkeyError):
    """Latchkey answered with a problem (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after: float | None = None) -> None:
        kind = _text(problem, "type") or ""
        self.status: int = status
        #: The kind of problem (`ProblemType`). `None`: the answer came from the gateway in front of Latchkey.
        self.type: str | None = kind.removeprefix(_PREFIX) if kind.startswith(_PREFIX) else None
        self.title: str = _text(problem, "title") or "The answer has no problem document"
        self.detail: str | None = _text(problem, "detail")
        #: The id of the cause in Latchkey's catalogue, such as `app_blocked`.
        self.cause: str | None = _text(problem, "cause")
        actor = cast("Actor | None", _text(problem, "actor"))
        passes: Actor | None = "wait" if status == 429 and self.type is None else None
        #: Who acts: `end_user`, `admin`, `vendor`, or `wait` if nobody has to.
        self.actor: Actor | None = actor or _ACTORS.get(self.type or "") or passes
        #: The page with the steps for whoever acts.
        self.help_url: str | None = _text(problem, "help_url")
        #: What a person reads out to support.
        self.reference: str | None = _text(problem, "reference")
        #: How many seconds to wait before the same call again.
        self.retry_after: float | None = retry_after
        self.incident: Incident | None = _incident(problem.get("incident"))
        #: The whole document.
        self.problem: dict[str, Any] = dict(problem)
        where = f" ({self.reference})" if self.reference else ""
        super().__init__(f"{status} {self.title}{f': {self.detail}' if self.detail else ''}{where}")


class ReauthorizationNeededError(ProblemError):
    """The user has to connect again: `connect_sessions.create(**error.reconnect)` makes the link."""

    @property
    def reconnect(self) -> dict[str, Any]:
        return dict(self.problem["reconnect"]["body"])


def problem_error(status: int, json: object, retry_after: float | None) -> ProblemError:
    """The error for an error answer. Members that are not of their documented type are left out."""
    problem = cast("dict[str, Any]", json) if isinstance(json, dict) else {}
    if not isinstance(problem.get("type"), str) or not isinstance(problem.get("title"), str):
        return ProblemError(status, {}, retry_after)
    reconnect = problem.get("reconnect")
    body = cast("dict[str, Any]", reconnect).get("body") if isinstance(reconnect, dict) else None
    is_reconnect = problem["type"] == f"{_PREFIX}reauthorization-needed" and isinstance(body, dict)
    return (ReauthorizationNeededError if is_reconnect else ProblemError)(status, problem, retry_after)


def _text(problem: Mapping[str, Any], name: str) -> str | None:
    value = problem.get(name)
    return value if isinstance(value, str) else None


def _incident(json: object) -> Incident | None:
    if not isinstance(json, dict):
        return None
    found = cast("dict[str, object]", json)
    texts = [found.get(name) for name in ("id", "scope", "since")]
    if not all(isinstance(text, str) for text in texts):
        return None
    return Incident(id=str(texts[0]), scope=str(texts[1]), since=str(texts[2]))
