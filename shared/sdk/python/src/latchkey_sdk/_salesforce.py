"""httpx transports that are bound to one org: each request carries a working token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import httpx

from ._address import host_header, on_this_machine, origin, secret_address
from ._tokens import AsyncTokenCache, TokenCache
from .errors import OtherOriginError
from .types import Token


@dataclass(frozen=True)
class RequestToSign:
    """What a request to Salesforce is authenticated for."""

    method: str
    #: Without query and fragment it is DPoP's `htu`.
    url: str
    token: Token


class RequestSigner(Protocol):
    """Makes the headers that authenticate a request to Salesforce, such as a bearer token or a DPoP proof."""

    def headers(self, request: RequestToSign) -> Mapping[str, str]: ...

    def wants_repeat(self, response: httpx.Response, request: RequestToSign) -> bool:
        """`True`: the request is sent once more with new headers, and no token is reported. For DPoP nonces."""
        ...


class AsyncRequestSigner(Protocol):
    """The same for `AsyncLatchkey`."""

    async def headers(self, request: RequestToSign) -> Mapping[str, str]: ...

    async def wants_repeat(self, response: httpx.Response, request: RequestToSign) -> bool: ...


class BearerSigner:
    def headers(self, request: RequestToSign) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {request.token.access_token}"}

    def wants_repeat(self, response: httpx.Response, request: RequestToSign) -> bool:
        return False


class AsyncBearerSigner:
    async def headers(self, request: RequestToSign) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {request.token.access_token}"}

    async def wants_repeat(self, response: httpx.Response, request: RequestToSign) -> bool:
        return False


class _Org:
    """Where the connection's org is, and where it was."""

    def __init__(self, token: Token) -> None:
        self._origins = {origin(_instance(token))}

    def check(self, request: httpx.Request) -> None:
        if origin(request.url) not in self._origins:
            raise OtherOriginError("this request would leave the org: its token is sent to the instance URL alone")

    def address(self, request: httpx.Request, token: Token) -> httpx.URL:
        """The same request at the token's instance: the org may have moved."""
        instance = _instance(token)
        self._origins.add(origin(instance))
        return request.url.copy_with(scheme=instance.scheme, host=instance.host, port=instance.port)


def _instance(token: Token) -> httpx.URL:
    return secret_address(token.instance_url, "the connection's instance_url")


def is_repeatable(request: httpx.Request) -> bool:
    """Whether the body can be sent again: a stream cannot."""
    return isinstance(request.stream, httpx.ByteStream)


def _signed(request: httpx.Request, url: httpx.URL, headers: Mapping[str, str]) -> httpx.Request:
    signed = httpx.Headers(request.headers)
    signed["Host"] = host_header(url)
    signed.update(headers)
    address = on_this_machine(url)
    return httpx.Request(
        request.method, address, headers=signed, stream=request.stream, extensions=request.extensions
    )


class BoundTransport(httpx.BaseTransport):
    """A 401 is reported by the token's fingerprint, and that one request is sent again."""

    def __init__(self, inner: httpx.BaseTransport, tokens: TokenCache, token: Token, signer: RequestSigner) -> None:
        self._inner = inner
        self._tokens = tokens
        self._connection = token.connection_id
        self._org = _Org(token)
        self._signer = signer

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._org.check(request)
        token = self._tokens.get(self._connection)
        response = self._send(request, token)
        if response.status_code != 401:
            return response
        following = self._tokens.replace(self._connection, token.fingerprint)
        if not is_repeatable(request):
            return response
        response.close()
        second = self._send(request, following)
        if second.status_code == 401:
            # Latchkey is told of this one as well. It raises the reason if refreshing is not the cure.
            self._tokens.replace(self._connection, following.fingerprint)
        return second

    def _send(self, request: httpx.Request, token: Token) -> httpx.Response:
        url = self._org.address(request, token)
        to_sign = RequestToSign(request.method, str(url), token)
        response = self._inner.handle_request(_signed(request, url, self._signer.headers(to_sign)))
        if is_repeatable(request) and self._signer.wants_repeat(response, to_sign):
            response.close()
            response = self._inner.handle_request(_signed(request, url, self._signer.headers(to_sign)))
        return response

    def close(self) -> None:
        """The connections to Salesforce are shared: the `Latchkey` client closes them."""


class AsyncBoundTransport(httpx.AsyncBaseTransport):
    """A 401 is reported by the token's fingerprint, and that one request is sent again."""

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        tokens: AsyncTokenCache,
        token: Token,
        signer: AsyncRequestSigner,
    ) -> None:
        self._inner = inner
        self._tokens = tokens
        self._connection = token.connection_id
        self._org = _Org(token)
        self._signer = signer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._org.check(request)
        token = await self._tokens.get(self._connection)
        response = await self._send(request, token)
        if response.status_code != 401:
            return response
        following = await self._tokens.replace(self._connection, token.fingerprint)
        if not is_repeatable(request):
            return response
        await response.aclose()
        second = await self._send(request, following)
        if second.status_code == 401:
            # Latchkey is told of this one as well. It raises the reason if refreshing is not the cure.
            await self._tokens.replace(self._connection, following.fingerprint)
        return second

    async def _send(self, request: httpx.Request, token: Token) -> httpx.Response:
        url = self._org.address(request, token)
        to_sign = RequestToSign(request.method, str(url), token)
        headers = await self._signer.headers(to_sign)
        response = await self._inner.handle_async_request(_signed(request, url, headers))
        if is_repeatable(request) and await self._signer.wants_repeat(response, to_sign):
            await response.aclose()
            headers = await self._signer.headers(to_sign)
            response = await self._inner.handle_async_request(_signed(request, url, headers))
        return response

    async def aclose(self) -> None:
        """The connections to Salesforce are shared: the `AsyncLatchkey` client closes them."""
