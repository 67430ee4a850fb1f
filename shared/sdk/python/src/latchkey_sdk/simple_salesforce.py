"""simple-salesforce with tokens from Latchkey: `pip install latchkey-sdk[simple-salesforce]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .calls import ConnectionRef
from ._client import Latchkey
from .errors import OtherOriginError

if TYPE_CHECKING:
    import requests
    from simple_salesforce.api import Salesforce


def salesforce_client(
    latchkey: Latchkey, connection: ConnectionRef, *, session: requests.Session | None = None, **options: Any
) -> Salesforce:
    """A `simple_salesforce.Salesforce` whose requests carry tokens from Latchkey.

    After a 401, the token is reported and that one request is sent once more. `session` sends the requests: give it
    your proxies or certificates. The options are those of `Salesforce`.
    """
    import requests as library
    from simple_salesforce.api import Salesforce

    token = latchkey.tokens.get(connection)
    session = session or library.Session()
    first, send = token.instance_url, session.send
    known = {_origin(first)}

    def send_with_token(request: requests.PreparedRequest, **more: Any) -> requests.Response:
        if _origin(request.url or "") not in known:
            raise OtherOriginError("this request would leave the org: its token stays with the instance URL")
        current = latchkey.tokens.get(connection)
        response = attempt(request, current.access_token, current.instance_url, more)
        if response.status_code != 401:
            return response
        following = latchkey.tokens.replace(connection, current.fingerprint)
        if type(request.body) not in (str, bytes, type(None)):
            # A stream cannot be sent again.
            return response
        response.close()
        second = attempt(request, following.access_token, following.instance_url, more)
        if second.status_code == 401:
            # Latchkey is told of this one as well. It raises the reason if refreshing is not the cure.
            latchkey.tokens.replace(connection, following.fingerprint)
        return second

    def attempt(
        request: requests.PreparedRequest, access_token: str, instance: str, more: dict[str, Any]
    ) -> requests.Response:
        known.add(_origin(instance))
        sent = request.copy()
        # The org may have moved. simple-salesforce has https in every address.
        sent.url = urlsplit(request.url or "")._replace(netloc=_origin(instance)).geturl()
        sent.headers["Authorization"] = f"Bearer {access_token}"
        if "X-SFDC-Session" in sent.headers:
            sent.headers["X-SFDC-Session"] = access_token
        # No redirect takes the token to another host.
        more["allow_redirects"] = False
        return send(sent, **more)

    session.send = send_with_token
    return Salesforce(instance_url=first, session_id=token.access_token, session=session, **options)


def _origin(address: str) -> str:
    """Host and port: simple-salesforce changes the scheme of an instance on this machine to https."""
    return urlsplit(address).netloc.lower()
