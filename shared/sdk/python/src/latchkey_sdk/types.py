"""The JSON of Latchkey's API: one class for each schema, with the member names of docs/api.md. No logic.

Members that Latchkey may leave out are `None`. Members that this version does not know are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

Environment = Literal["production", "sandbox", "my_domain"]
#: Who acts: the user, an admin of the customer's org, you as the vendor, or nobody: it passes.
Actor = Literal["end_user", "admin", "vendor", "wait"]
Confidence = Literal["sure", "likely", "possible"]
ConnectSessionStatus = Literal[
    "created", "opened", "redirected", "returned", "parked", "connected", "failed", "lost", "expired"
]
ConnectionState = Literal[
    "pending", "parked", "active", "refresh_unknown", "needs_reauth", "blocked", "revoking"
]
ExpiryBasis = Literal["token", "introspection", "rejection", "app_policy"]
FailureStage = Literal["authorize", "lost", "callback", "exchange", "refresh", "api"]
Provenance = Literal["observed", "reported"]
EventType = Literal[
    "connection.created",
    "connection.reconnected",
    "connection.refresh_failing",
    "connection.recovered",
    "connection.reauthorization_needed",
    "connection.blocked",
    "connection.expiring",
    "connection.state_changed",
    "connection.deleted",
    "session.connected",
    "session.failed",
    "session.lost",
    "session.parked",
    "failure.resolved",
    "incident.started",
    "incident.ended",
    "quarantine.added",
    "app.incident",
    "endpoint.disabled",
    "webhook.test",
]
ProblemType = Literal[
    "bad-request",
    "return-address-not-registered",
    "not-a-salesforce-host",
    "unauthorized",
    "not-through-the-front",
    "not-found",
    "unknown-route",
    "method-not-allowed",
    "receipt-refused",
    "receipt-used",
    "other-user",
    "no-endpoint",
    "reconnect-overtaken",
    "not-redeemed",
    "reauthorization-needed",
    "tokens-rejected",
    "blocked-by-org",
    "vendor-incident",
    "already-connected",
    "import-quarantined",
    "import-under-way",
    "imported-and-deleted",
    "import-refused",
    "too-many-reports",
    "not-sent",
    "salesforce-unavailable",
    "idempotency-key-reused",
    "token-not-ready",
    "unavailable",
]


class CustomerParam(TypedDict, total=False):
    """One of your customers, as a call takes it: `id` is required, and `name` is shown on Latchkey's pages."""

    id: str
    name: str


class ReportedError(TypedDict, total=False):
    """One error of Salesforce's list."""

    errorCode: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Customer:
    id: str
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class SessionFailure:
    id: str
    cause: str
    reference: str
    help_url: str


@dataclass(frozen=True, kw_only=True)
class Identity:
    org_id: str
    salesforce_user_id: str
    username: str | None = None


@dataclass(frozen=True, kw_only=True)
class IdentityAtHost(Identity):
    environment: Environment
    instance_url: str


@dataclass(frozen=True, kw_only=True)
class IdentityChange:
    before: IdentityAtHost
    after: IdentityAtHost
    sandbox_refreshed: bool


@dataclass(frozen=True, kw_only=True)
class ConnectSession:
    id: str
    status: ConnectSessionStatus
    app: str
    customer: Customer
    user: str
    return_to: str
    created_at: str
    expires_at: str
    attempts: int
    connection_id: str | None = None
    #: The connection that is authorized again.
    reconnects: str | None = None
    parked_until: str | None = None
    identity_change: IdentityChange | None = None
    failure: SessionFailure | None = None


@dataclass(frozen=True, kw_only=True)
class CreatedConnectSession(ConnectSession):
    """A session that was just created: the only answer with its link."""

    #: Redirect the user's browser here. Whoever has the link can use it: do not log it.
    connect_url: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class ListedConnection:
    id: str
    state: ConnectionState
    app: str
    customer: Customer
    org_id: str
    salesforce_user_id: str
    environment: Environment
    created_at: str
    username: str | None = None


@dataclass(frozen=True, kw_only=True)
class Retrying:
    #: Nothing is sent to Salesforce before this.
    not_before: str
    refusals: int
    refused_since: str | None = None
    cause: str | None = None
    reference: str | None = None
    help_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Connection(ListedConnection):
    #: The user of your product who made it.
    user: str
    login_host: str
    instance_url: str
    scopes: list[str]
    #: The id of the failure that has to be fixed.
    failure: str | None = None
    #: Present while refreshes are refused and retried.
    retrying: Retrying | None = None


@dataclass(frozen=True, kw_only=True)
class PreviousIdentity(Identity):
    app: str


@dataclass(frozen=True, kw_only=True)
class Reconnected:
    identity_changed: bool
    previous: PreviousIdentity


@dataclass(frozen=True, kw_only=True)
class RedeemedConnection(Connection):
    #: Present if the connection existed before.
    reconnected: Reconnected | None = None


@dataclass(frozen=True, kw_only=True)
class ConnectionPage:
    connections: list[ListedConnection]
    next: str | None = None


@dataclass(frozen=True, kw_only=True)
class ImportedConnection(Connection):
    #: `True`: Salesforce has replaced the token that you sent.
    rotated: bool | None = None
    #: `True`: a connection of the same Salesforce user got the token.
    renewed: bool
    same_as: list[str]


@dataclass(frozen=True, kw_only=True)
class Token:
    connection_id: str
    access_token: str = field(repr=False)
    token_type: str
    instance_url: str
    scopes: list[str]
    scopes_missing: list[str]
    issued_at: str
    expires_at: str
    expires_at_basis: ExpiryBasis
    #: Names the token without revealing it.
    fingerprint: str
    state: ConnectionState
    warning: str | None = None


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    cause: str
    title: str
    actor: Actor
    confidence: Confidence


@dataclass(frozen=True, kw_only=True)
class Finding(Diagnosis):
    #: `True`: it does no harm yet.
    soon: bool
    help_url: str
    reference: str | None = None


@dataclass(frozen=True, kw_only=True)
class CheckedIdentity(Identity):
    active: bool | None = None


@dataclass(frozen=True, kw_only=True)
class CheckedScopes:
    granted: list[str]
    missing: list[str]


@dataclass(frozen=True, kw_only=True)
class CheckedApi:
    enabled: bool | None = None
    why: str | None = None


@dataclass(frozen=True, kw_only=True)
class CheckedApp:
    installed: bool | None = None
    installed_why: str | None = None
    admin_approved_only: bool | None = None
    admin_approved_only_why: str | None = None


@dataclass(frozen=True, kw_only=True)
class CheckedToken:
    issued_at: str
    expires_at: str
    expires_at_basis: ExpiryBasis


@dataclass(frozen=True, kw_only=True)
class CheckedRefresh:
    last_at: str
    idle_ends_at: str


@dataclass(frozen=True, kw_only=True)
class Check:
    connection_id: str
    checked_at: str
    ok: bool
    state: ConnectionState
    scopes: CheckedScopes
    api: CheckedApi
    app: CheckedApp
    token: CheckedToken
    findings: list[Finding]
    identity: CheckedIdentity | None = None
    refresh: CheckedRefresh | None = None


@dataclass(frozen=True, kw_only=True)
class ReportedFailure(Diagnosis):
    id: str
    reference: str
    connection_id: str
    others: list[Diagnosis]
    help_url: str
    next: Literal["retry", "reconnect", "send_to_admin", "fix_app"]


@dataclass(frozen=True, kw_only=True)
class Resolved:
    at: str
    session_id: str | None = None
    connection_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Failure:
    id: str
    #: What a person reads out.
    reference: str
    at: str
    product: str
    app: str
    customer: Customer
    stage: FailureStage
    surface: str
    #: `reported` proves nothing: somebody said it.
    provenance: Provenance
    cause: str
    help_url: str
    title: str | None = None
    actor: Actor | None = None
    confidence: Confidence | None = None
    org_id: str | None = None
    environment: Environment | None = None
    login_host: str | None = None
    code: str | None = None
    description: str | None = None
    http_status: int | None = None
    session_id: str | None = None
    connection_id: str | None = None
    resolved: Resolved | None = None


@dataclass(frozen=True, kw_only=True)
class FailurePage:
    failures: list[Failure]
    next: str | None = None


@dataclass(frozen=True, kw_only=True)
class FailureSummary:
    product: str
    bucket: Literal["day", "hour"]
    failures: list[dict[str, Any]]
    sessions: dict[str, int]
    counted_until: str | None = None
    counted_at: str | None = None
    sessions_over_time: list[dict[str, Any]] | None = None
    refreshes: dict[str, int] | None = None
    fixed: list[dict[str, Any]] | None = None


@dataclass(frozen=True, kw_only=True)
class EventData:
    product: str | None = None
    #: Grows with each change of the connection.
    sequence: int | None = None
    app: str | None = None
    customer: Customer | None = None
    environment: Environment | None = None
    org_id: str | None = None
    connection_id: str | None = None
    state: str | None = None
    session_id: str | None = None
    failure_id: str | None = None
    reference: str | None = None
    incident_id: str | None = None
    cause: str | None = None
    actor: Actor | None = None
    help_url: str | None = None
    expires_at: str | None = None
    endpoint: str | None = None
    #: A sentence for people. It may change: do not parse it.
    message: str | None = None


@dataclass(frozen=True, kw_only=True)
class Event:
    id: str
    #: One of `EventType`, or a type that a later version of Latchkey has added.
    type: str
    data: EventData
    version: int | None = None
    timestamp: str | None = None


@dataclass(frozen=True, kw_only=True)
class DeliveryAttempt:
    at: str
    took_ms: int
    status: int | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Delivery:
    endpoint: str
    state: Literal["due", "delivered", "gave_up", "disabled", "removed"]
    attempts: list[DeliveryAttempt]
    next_attempt_at: str | None = None


@dataclass(frozen=True, kw_only=True)
class EventWithDeliveries(Event):
    deliveries: list[Delivery]


@dataclass(frozen=True, kw_only=True)
class EventPage:
    events: list[Event]
    #: Send it as `after` with the next call, also if `events` is empty.
    next: str
    has_more: bool


@dataclass(frozen=True, kw_only=True)
class OpsLink:
    url: str = field(repr=False)
    expires_at: str


@dataclass(frozen=True, kw_only=True)
class Incident:
    id: str
    scope: str
    since: str
