// The JSON of Latchkey's API: one type for each schema, with the member names of docs/api.md.
// No logic: everything here is erased when it is compiled.

/** One of your customers. The name is shown on Latchkey's pages. */
export interface Customer {
  id: string;
  name?: string | null;
}

export type Environment = 'production' | 'sandbox' | 'my_domain';

/** Who acts: the user, an admin of the customer's org, you as the vendor, or nobody: it passes. */
export type Actor = 'end_user' | 'admin' | 'vendor' | 'wait';

export type Confidence = 'sure' | 'likely' | 'possible';

// Connect sessions

export interface CreateConnectSession {
  /** Required, except for a reconnect. */
  customer?: Customer;
  /** The user of your product, as an opaque id. The same id redeems. */
  user: string;
  /** That user's name, for the customer's Salesforce admin. */
  user_name?: string;
  /** The connection that is authorized again. */
  connection_id?: string;
  /** Required if your product has several apps. */
  app?: string;
  /** One of your product's return addresses. Required if it has several. */
  return_to?: string;
  environment?: 'production' | 'sandbox';
  /** The org's own host, in place of `environment`. */
  my_domain?: string;
  /** How long the link works, in seconds: 300 to 604800. */
  expires_in?: number;
  /** With `connection_id`: scopes to ask for in addition to those that the connection has. */
  scopes?: string[];
  /** `true`: a Salesforce user who is connected already gets one more connection. */
  another?: boolean;
}

export type ConnectSessionStatus =
  | 'created'
  | 'opened'
  | 'redirected'
  | 'returned'
  | 'parked'
  | 'connected'
  | 'failed'
  | 'lost'
  | 'expired';

export interface SessionFailure {
  id: string;
  cause: string;
  reference: string;
  help_url: string;
}

export interface Identity {
  org_id: string;
  salesforce_user_id: string;
  username: string | null;
}

export interface IdentityAtHost extends Identity {
  environment: Environment;
  instance_url: string;
}

export interface IdentityChange {
  before: IdentityAtHost;
  after: IdentityAtHost;
  sandbox_refreshed: boolean;
}

export interface ConnectSession {
  id: string;
  status: ConnectSessionStatus;
  app: string;
  customer: Customer;
  user: string;
  return_to: string;
  created_at: string;
  expires_at: string;
  attempts: number;
  connection_id?: string;
  /** The connection that is authorized again. */
  reconnects?: string;
  parked_until?: string;
  identity_change?: IdentityChange;
  failure?: SessionFailure;
}

/** A session that was just created: the only answer with its link. */
export interface CreatedConnectSession extends ConnectSession {
  /** Redirect the user's browser here. Whoever has the link can use it: do not log it. */
  connect_url: string;
}

export interface Redeem {
  /** What came to your return address as `receipt`. */
  receipt: string;
  /** The user who is signed in to your product in that browser. */
  user: string;
}

// Connections

export type ConnectionState =
  | 'pending'
  | 'parked'
  | 'active'
  | 'refresh_unknown'
  | 'needs_reauth'
  | 'blocked'
  | 'revoking';

export interface ListedConnection {
  id: string;
  state: ConnectionState;
  app: string;
  customer: Customer;
  org_id: string;
  salesforce_user_id: string;
  username: string | null;
  environment: Environment;
  created_at: string;
}

export interface Retrying {
  /** Nothing is sent to Salesforce before this. */
  not_before: string;
  refusals: number;
  refused_since?: string;
  cause?: string;
  reference?: string;
  help_url?: string;
}

export interface Connection extends ListedConnection {
  /** The user of your product who made it. */
  user: string;
  login_host: string;
  instance_url: string;
  scopes: string[];
  /** The id of the failure that has to be fixed. */
  failure?: string;
  /** Present while refreshes are refused and retried. */
  retrying?: Retrying;
}

export interface Reconnected {
  identity_changed: boolean;
  previous: Identity & { app: string };
}

export interface RedeemedConnection extends Connection {
  /** Present if the connection existed before. */
  reconnected?: Reconnected;
}

export interface ListConnections {
  customer?: string;
  /** 1 to 100. */
  limit?: number;
  after?: string;
}

export interface ConnectionPage {
  connections: ListedConnection[];
  next?: string;
}

export interface ImportConnection {
  /** Sent to Salesforce once. */
  refresh_token: string;
  customer: Customer;
  user: string;
  app?: string;
  environment?: 'production' | 'sandbox';
  my_domain?: string;
  another?: boolean;
}

export interface ImportedConnection extends Connection {
  /** `true`: Salesforce has replaced the token that you sent. */
  rotated: boolean | null;
  /** `true`: a connection of the same Salesforce user got the token. */
  renewed: boolean;
  same_as: string[];
}

// Tokens

export type ExpiryBasis = 'token' | 'introspection' | 'rejection' | 'app_policy';

export interface Token {
  connection_id: string;
  access_token: string;
  token_type: string;
  instance_url: string;
  scopes: string[];
  scopes_missing: string[];
  issued_at: string;
  expires_at: string;
  expires_at_basis: ExpiryBasis;
  /** Names the token without revealing it. */
  fingerprint: string;
  state: ConnectionState;
  warning?: string;
}

export interface GetToken {
  /** The fingerprint of a token that Salesforce answered with 401. */
  rejected?: string;
  /** How long the token has to live, in seconds: 0 to 43200. */
  minimum_lifetime?: number;
}

// Check, reports and failures

export interface Diagnosis {
  cause: string;
  title: string;
  actor: Actor;
  confidence: Confidence;
}

export interface Finding extends Diagnosis {
  /** `true`: it does no harm yet. */
  soon: boolean;
  reference?: string;
  help_url: string;
}

export interface Check {
  connection_id: string;
  checked_at: string;
  ok: boolean;
  state: ConnectionState;
  identity: (Identity & { active: boolean | null }) | null;
  scopes: { granted: string[]; missing: string[] };
  api: { enabled: boolean | null; why?: string };
  app: {
    installed: boolean | null;
    installed_why?: string;
    admin_approved_only: boolean | null;
    admin_approved_only_why?: string;
  };
  token: { issued_at: string; expires_at: string; expires_at_basis: ExpiryBasis };
  refresh: { last_at: string; idle_ends_at: string } | null;
  findings: Finding[];
}

/** What Salesforce's API answered. At least one member. */
export interface ReportFailure {
  code?: string;
  message?: string;
  http_status?: number;
  body?: unknown;
  raw?: string;
}

export interface ReportedFailure extends Diagnosis {
  id: string;
  reference: string;
  connection_id: string;
  others: Diagnosis[];
  help_url: string;
  next: 'retry' | 'reconnect' | 'send_to_admin' | 'fix_app';
}

export type FailureStage = 'authorize' | 'lost' | 'callback' | 'exchange' | 'refresh' | 'api';

export interface Failure {
  id: string;
  /** What a person reads out. */
  reference: string;
  at: string;
  product: string;
  app: string;
  customer: Customer;
  org_id: string | null;
  environment: Environment | null;
  login_host: string | null;
  stage: FailureStage;
  surface: string;
  /** `reported` proves nothing: somebody said it. */
  provenance: 'observed' | 'reported';
  code: string | null;
  description: string | null;
  http_status: number | null;
  cause: string;
  title: string | null;
  actor: Actor | null;
  confidence: Confidence | null;
  session_id: string | null;
  connection_id: string | null;
  help_url: string;
  resolved: { at: string; session_id: string | null; connection_id: string | null } | null;
}

export interface ListFailures {
  cause?: string;
  app?: string;
  stage?: FailureStage;
  environment?: Environment;
  customer?: string;
  provenance?: 'observed' | 'reported';
  resolved?: boolean;
  from?: string;
  to?: string;
  /** 1 to 100. */
  limit?: number;
  after?: string;
}

export interface FailurePage {
  failures: Failure[];
  next?: string;
}

export interface SummarizeFailures {
  from?: string;
  to?: string;
  bucket?: 'day' | 'hour';
  /** Names with commas between: `time`, `cause`, `app`, `environment`, `stage`, `provenance`. */
  by?: string;
  app?: string;
  environment?: Environment;
}

export interface FailureSummary {
  product: string;
  from: string;
  to: string;
  bucket: 'day' | 'hour';
  counted_until: string | null;
  counted_at: string | null;
  failures: Record<string, unknown>[];
  sessions: Record<string, number>;
  [more: string]: unknown;
}

// Events

export type EventType =
  | 'connection.created'
  | 'connection.reconnected'
  | 'connection.refresh_failing'
  | 'connection.recovered'
  | 'connection.reauthorization_needed'
  | 'connection.blocked'
  | 'connection.expiring'
  | 'connection.state_changed'
  | 'connection.deleted'
  | 'session.connected'
  | 'session.failed'
  | 'session.lost'
  | 'session.parked'
  | 'failure.resolved'
  | 'incident.started'
  | 'incident.ended'
  | 'quarantine.added'
  | 'app.incident'
  | 'endpoint.disabled'
  | 'webhook.test';

export interface EventData {
  product: string;
  /** Grows with each change of the connection. */
  sequence?: number;
  app?: string;
  customer?: Customer;
  environment?: Environment;
  org_id?: string;
  connection_id?: string;
  state?: string;
  session_id?: string;
  failure_id?: string;
  reference?: string;
  incident_id?: string;
  cause?: string;
  actor?: Actor;
  help_url?: string;
  expires_at?: string;
  endpoint?: string;
  /** A sentence for people. It may change: do not parse it. */
  message?: string;
}

export interface Event {
  id: string;
  /** One of {@link EventType}, or a type that a later version of Latchkey has added. */
  type: EventType | (string & {});
  version: number;
  timestamp: string;
  data: EventData;
}

export interface DeliveryAttempt {
  at: string;
  took_ms: number;
  status?: number;
  error?: string;
}

export interface Delivery {
  endpoint: string;
  state: 'due' | 'delivered' | 'gave_up' | 'disabled' | 'removed';
  next_attempt_at?: string;
  attempts: DeliveryAttempt[];
}

export interface EventWithDeliveries extends Event {
  deliveries: Delivery[];
}

export interface ListEvents {
  after?: string;
  /** Only these types. */
  types?: (EventType | (string & {}))[];
  connection?: string;
  customer?: string;
  /** 1 to 100. */
  limit?: number;
}

export interface EventPage {
  events: Event[];
  /** Send it as `after` with the next call, also if `events` is empty. */
  next: string;
  has_more: boolean;
}

export interface OpsLink {
  url: string;
  expires_at: string;
}

// Problems (RFC 9457)

export type ProblemType =
  | 'bad-request'
  | 'return-address-not-registered'
  | 'not-a-salesforce-host'
  | 'unauthorized'
  | 'not-through-the-front'
  | 'not-found'
  | 'unknown-route'
  | 'method-not-allowed'
  | 'receipt-refused'
  | 'receipt-used'
  | 'other-user'
  | 'no-endpoint'
  | 'reconnect-overtaken'
  | 'not-redeemed'
  | 'reauthorization-needed'
  | 'tokens-rejected'
  | 'blocked-by-org'
  | 'vendor-incident'
  | 'already-connected'
  | 'import-quarantined'
  | 'import-under-way'
  | 'imported-and-deleted'
  | 'import-refused'
  | 'too-many-reports'
  | 'not-sent'
  | 'salesforce-unavailable'
  | 'idempotency-key-reused'
  | 'token-not-ready'
  | 'unavailable';

/** The call that makes the link with which a connection is authorized again. */
export interface ReconnectCall {
  method: string;
  path: string;
  body: CreateConnectSession;
}

export interface Incident {
  id: string;
  scope: 'app' | 'org';
  since: string;
}

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail?: string;
  cause?: string;
  actor?: Actor;
  reference?: string;
  help_url?: string;
  reconnect?: ReconnectCall;
  incident?: Incident;
  /** Of a query: the parameter that is wrong, and those that are allowed. */
  parameter?: string;
  allowed?: string[];
}
