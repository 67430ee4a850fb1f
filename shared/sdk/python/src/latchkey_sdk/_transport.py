"""Sends calls to Latchkey. Follows no redirect, and retries what docs/api.md allows."""

from __future__ import annotations

import asyncio
import json
import random
import re
import ssl
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, TypeVar

import httpx

from ._address import host_header, on_this_machine, secret_address
from .calls import Answer, Call
from .errors import (
    LatchkeyError,
    LatchkeyTimeoutError,
    ProblemError,
    UnexpectedAnswerError,
    UnreachableError,
    UsageError,
    problem_error,
)

T = TypeVar("T")

#: Maximum wait before a retry, in seconds. If Latchkey asks for more, the caller gets the problem with `retry_after`.
MAX_WAIT = 10.0
FIRST_WAIT = 0.5


@dataclass(frozen=True)
class Settings:
    url: httpx.URL
    api_key: str
    timeout: float
    attempt_timeout: float
    max_retries: int

    def __repr__(self) -> str:
        return f"Settings(url={str(self.url)!r})"

    @staticmethod
    def read(url: str, api_key: str, timeout: float, attempt_timeout: float, max_retries: int) -> Settings:
        if not re.fullmatch(r"[\x21-\x7e]+", api_key):
            raise UsageError("api_key is missing or not an API key")
        return Settings(secret_address(url, "url"), api_key, timeout, attempt_timeout, max_retries)

    def request(self, call: Call[Any]) -> httpx.Request:
        path = self.url.path.rstrip("/") + call.path
        query = {name: _parameter(value) for name, value in (call.query or {}).items()}
        url = self.url.copy_with(path=path, params=query or None)
        headers = {
            "Accept": "application/json",
            "Authorization": f"Bearer {self.api_key}",
            "Host": host_header(url),
        }
        if call.idempotency_key is not None:
            headers["Idempotency-Key"] = call.idempotency_key
        return httpx.Request(call.method, on_this_machine(url), headers=headers, json=call.body)


class Attempts:
    """The attempts of one call: what is left of its time, and how long to wait before the next one."""

    def __init__(self, call: Call[Any], settings: Settings, timeout: float | None) -> None:
        self._call = call
        self._settings = settings
        self._end = time.monotonic() + (settings.timeout if timeout is None else timeout)
        self._count = 0
        self._maybe_done = False

    def time_left(self) -> float:
        return max(0.001, min(self._end - time.monotonic(), self._settings.attempt_timeout))

    def is_done(self, error: LatchkeyError) -> bool:
        """Whether this error says that an attempt before was carried out."""
        is_gone = isinstance(error, ProblemError) and error.type == "not-found"
        return self._call.gone_is_done and self._maybe_done and is_gone

    def wait_after(self, error: LatchkeyError) -> float:
        """How long to wait before the next attempt. Raises the error if there is none."""
        wait = _wait(self._call, error, self._count) if self._count < self._settings.max_retries else None
        if wait is None or time.monotonic() + wait >= self._end:
            raise error
        self._count += 1
        self._maybe_done = self._maybe_done or not isinstance(error, ProblemError) or error.status >= 500
        return wait


@cache
def tls() -> ssl.SSLContext:
    """Reading the list of authorities takes a while: all connections share it."""
    return httpx.create_ssl_context()


class Transport:
    def __init__(self, settings: Settings, transport: httpx.BaseTransport | None) -> None:
        self._settings = settings
        self._http = httpx.Client(verify=tls(), transport=transport, follow_redirects=False)

    def send(self, call: Call[T], timeout: float | None = None) -> T:
        attempts = Attempts(call, self._settings, timeout)
        while True:
            try:
                return call.read(self._attempt(call, attempts.time_left()))
            except LatchkeyError as error:
                if attempts.is_done(error):
                    return call.read(Answer(204, None))
                wait = attempts.wait_after(error)
            time.sleep(wait)

    def _attempt(self, call: Call[Any], seconds: float) -> Answer:
        end = time.monotonic() + seconds
        request = self._settings.request(call)
        request.extensions["timeout"] = httpx.Timeout(seconds).as_dict()
        try:
            response = self._http.send(request, stream=True)
            try:
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    _check_time(end, seconds)
            finally:
                response.close()
        except httpx.HTTPError as error:
            raise _network_error(error, seconds) from None
        return _read(response, bytes(body))

    def close(self) -> None:
        self._http.close()


class AsyncTransport:
    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None) -> None:
        self._settings = settings
        self._http = httpx.AsyncClient(verify=tls(), transport=transport, follow_redirects=False)

    async def send(self, call: Call[T], timeout: float | None = None) -> T:
        attempts = Attempts(call, self._settings, timeout)
        while True:
            try:
                return call.read(await self._attempt(call, attempts.time_left()))
            except LatchkeyError as error:
                if attempts.is_done(error):
                    return call.read(Answer(204, None))
                wait = attempts.wait_after(error)
            await asyncio.sleep(wait)

    async def _attempt(self, call: Call[Any], seconds: float) -> Answer:
        end = time.monotonic() + seconds
        request = self._settings.request(call)
        request.extensions["timeout"] = httpx.Timeout(seconds).as_dict()
        try:
            response = await self._http.send(request, stream=True)
            try:
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    _check_time(end, seconds)
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            raise _network_error(error, seconds) from None
        return _read(response, bytes(body))

    async def close(self) -> None:
        await self._http.aclose()


def _parameter(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_time(end: float, seconds: float) -> None:
    if time.monotonic() > end:
        raise LatchkeyTimeoutError(f"Latchkey did not answer within {seconds:.3g} s")


def _network_error(error: httpx.HTTPError, seconds: float) -> LatchkeyError:
    if isinstance(error, httpx.TimeoutException):
        return LatchkeyTimeoutError(f"Latchkey did not answer within {seconds:.3g} s")
    # The message of the error may repeat what was sent: only its kind is told.
    return UnreachableError(f"Latchkey cannot be reached: {type(error).__name__}")


def _wait(call: Call[Any], error: LatchkeyError, attempt: int) -> float | None:
    backoff = FIRST_WAIT * 2**attempt * random.uniform(0.5, 1)
    if isinstance(error, ProblemError):
        after = error.retry_after
        is_passing = (
            (error.status == 429 and error.type != "too-many-reports")
            or (error.status == 503 and (after is not None or call.repeatable))
            or (error.status in (502, 504) and call.repeatable)
            or error.type == "import-under-way"
        )
        wait = backoff if after is None else after + random.uniform(0, 0.1)
        return wait if is_passing and wait <= MAX_WAIT + 0.1 else None
    is_unknown = isinstance(error, (UnreachableError, LatchkeyTimeoutError))
    return backoff if is_unknown and call.repeatable else None


def _read(response: httpx.Response, body: bytes) -> Answer:
    status = response.status_code
    if 300 <= status < 400:
        raise UnexpectedAnswerError("Latchkey answered with a redirect: check the url", status)
    parsed: object = None
    is_json = True
    try:
        parsed = json.loads(body) if body else None
    except ValueError:
        is_json = False
    if status >= 400:
        raise problem_error(status, parsed, _retry_after(response.headers.get("retry-after")))
    if not is_json:
        raise UnexpectedAnswerError("Latchkey answered with something that is not JSON", status)
    return Answer(status, parsed)


def _retry_after(text: str | None) -> float | None:
    if text is None:
        return None
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", text):
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    aware = at if at.tzinfo else at.replace(tzinfo=timezone.utc)
    return max(0.0, (aware - datetime.now(timezone.utc)).total_seconds())
