"""Connect your customers' Salesforce orgs with Latchkey, and call Salesforce with tokens that work."""

from ._async_client import AsyncLatchkey
from .calls import ConnectionRef
from ._client import Latchkey
from ._salesforce import AsyncRequestSigner, RequestSigner, RequestToSign
from .errors import (
    LatchkeyError,
    LatchkeyTimeoutError,
    OtherOriginError,
    ProblemError,
    ReauthorizationNeededError,
    UnexpectedAnswerError,
    UnreachableError,
    UsageError,
    WebhookVerificationError,
)
from .types import Connection, ConnectSession, Event, Failure, Token
from .webhooks import AsyncWebhookReceiver, WebhookReceiver, verify_webhook

__all__ = [
    "AsyncLatchkey",
    "AsyncRequestSigner",
    "AsyncWebhookReceiver",
    "ConnectSession",
    "Connection",
    "ConnectionRef",
    "Event",
    "Failure",
    "Latchkey",
    "LatchkeyError",
    "LatchkeyTimeoutError",
    "OtherOriginError",
    "ProblemError",
    "ReauthorizationNeededError",
    "RequestSigner",
    "RequestToSign",
    "Token",
    "UnexpectedAnswerError",
    "UnreachableError",
    "UsageError",
    "WebhookReceiver",
    "WebhookVerificationError",
    "verify_webhook",
]
