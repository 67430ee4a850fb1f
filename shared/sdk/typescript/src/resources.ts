import { UnexpectedAnswerError, UsageError } from './errors.js';
import { hideWhenPrinted } from './hide.js';
import { object, objectWith, objectWithList, type ApiCall, type CallOptions, type Transport } from './transport.js';
import type * as api from './types.js';

/** A connection, or its id. */
export type ConnectionRef = string | { id: string };

const idOf = (ref: ConnectionRef): string => (typeof ref === 'string' ? ref : ref.id);

/** An id in a path. An empty one would name another call. */
export function inPath(ref: ConnectionRef, what: string): string {
  const id = idOf(ref);
  if (typeof id !== 'string' || !/^[\w.-]+$/.test(id) || /^\.+$/.test(id)) throw new UsageError(`this is not a ${what}`);
  return id;
}

const get = (path: string, query?: ApiCall['query']): ApiCall => ({ method: 'GET', path, query, repeatable: true });
const post = (path: string, body?: object): ApiCall => ({ method: 'POST', path, body, repeatable: true });

/** Follows `next` until there is none. */
async function* pages<Page extends { next?: string | undefined }>(load: (after?: string) => Promise<Page>) {
  for (let after: string | undefined; ; ) {
    const page = await load(after);
    yield page;
    if (page.next === undefined || page.next === null) return;
    if (page.next === after) throw new UnexpectedAnswerError('Latchkey answered with the same page again', 200);
    after = page.next;
  }
}

class Resource {
  protected readonly transport: Transport;
  constructor(transport: Transport) {
    this.transport = transport;
  }
}

/** Options of calls that create something. */
export interface CreateOptions extends CallOptions {
  /** Repeats of the call with the same key make one session. By default each call has a key of its own. */
  idempotencyKey?: string | undefined;
}

/** Who came back to your return address. */
export interface Returned {
  /** The session that you made for this browser: keep its id in your own login session. */
  session: string | undefined;
  /** The user who is signed in to your product in this browser. */
  user: string;
}

export class ConnectSessions extends Resource {
  readonly #forget: (connection: string) => void;

  constructor(transport: Transport, forget: (connection: string) => void) {
    super(transport);
    this.#forget = forget;
  }

  /** Makes a link with which one user connects one org. Redirect the user to its `connect_url`. */
  async create(wish: api.CreateConnectSession, options: CreateOptions = {}): Promise<api.CreatedConnectSession> {
    const idempotencyKey = options.idempotencyKey ?? crypto.randomUUID();
    const answer = await this.transport.send({ ...post('/v1/connect-sessions', wish), idempotencyKey }, options);
    return hideWhenPrinted(objectWith<api.CreatedConnectSession>(answer, 'id', 'connect_url'), 'connect_url');
  }

  async get(id: string, options?: CallOptions): Promise<api.ConnectSession> {
    return objectWith(await this.transport.send(get(`/v1/connect-sessions/${inPath(id, 'session')}`), options), 'id');
  }

  /** Turns a receipt into a connection. Pass the user who is signed in to your product in that browser. */
  async redeem(id: string, redeem: api.Redeem, options?: CallOptions): Promise<api.RedeemedConnection> {
    const call = post(`/v1/connect-sessions/${inPath(id, 'session')}/redeem`, redeem);
    const connection = objectWith<api.RedeemedConnection>(await this.transport.send(call, options), 'id');
    // It may be another user's or org's than before.
    this.#forget(connection.id);
    return connection;
  }

  /**
   * Redeems what a browser brought to your return address: pass the request's address or path.
   * `undefined`: there is nothing to redeem, or it is not the session of this browser. Show your own page then.
   */
  async redeemReturn(
    address: string | URL,
    { session, user }: Returned,
    options?: CallOptions,
  ): Promise<api.RedeemedConnection | undefined> {
    const query = new URL(address, 'https://return.invalid').searchParams;
    const [returned, receipt] = [query.get('connect_session'), query.get('receipt')];
    if (!returned || !receipt || returned !== session) return undefined;
    return this.redeem(returned, { receipt, user }, options);
  }
}

export class Connections extends Resource {
  readonly #forget: (connection: string) => void;

  constructor(transport: Transport, forget: (connection: string) => void) {
    super(transport);
    this.#forget = forget;
  }

  async get(connection: ConnectionRef, options?: CallOptions): Promise<api.Connection> {
    return objectWith(await this.transport.send(get(this.#path(connection)), options), 'id');
  }

  /** One page. `iterate` follows the pages. */
  async list(filter: api.ListConnections = {}, options?: CallOptions): Promise<api.ConnectionPage> {
    return objectWithList(await this.transport.send(get('/v1/connections', { ...filter }), options), 'connections');
  }

  /** Each connection, page after page. */
  async *iterate(filter: Omit<api.ListConnections, 'after'> = {}, options?: CallOptions) {
    const load = (after?: string) => this.list(after === undefined ? filter : { ...filter, after }, options);
    for await (const page of pages(load)) yield* page.connections;
  }

  /** Revokes at Salesforce, then deletes. `revoking`: it gives no token from now on, and Latchkey goes on revoking. */
  async delete(connection: ConnectionRef, options?: CallOptions): Promise<'deleted' | 'revoking'> {
    this.#forget(idOf(connection));
    const call: ApiCall = { method: 'DELETE', path: this.#path(connection), repeatable: true, goneIsDone: true };
    const { status } = await this.transport.send(call, options);
    return status === 202 ? 'revoking' : 'deleted';
  }

  /** Asks Salesforce whether the connection works, and what is wrong with it. */
  async check(connection: ConnectionRef, options?: CallOptions): Promise<api.Check> {
    const answer = await this.transport.send(post(`${this.#path(connection)}/check`), options);
    return objectWithList(answer, 'findings');
  }

  /** Reports what Salesforce's API answered, for a diagnosis. Do not report a 401: `withSalesforce` does. */
  async reportFailure(
    connection: ConnectionRef,
    seen: api.ReportFailure,
    options?: CallOptions,
  ): Promise<api.ReportedFailure> {
    const answer = await this.transport.send(post(`${this.#path(connection)}/failures`, seen), options);
    return objectWith(answer, 'id', 'cause');
  }

  /** Makes a connection of a refresh token that you hold. Calling again with the same token is safe. */
  async import(call: api.ImportConnection, options?: CallOptions): Promise<api.ImportedConnection> {
    const answer = await this.transport.send(post('/v1/connections', call), options);
    const connection = objectWith<api.ImportedConnection>(answer, 'id');
    this.#forget(connection.id);
    return connection;
  }

  #path(connection: ConnectionRef): string {
    return `/v1/connections/${inPath(connection, 'connection')}`;
  }
}

export class Failures extends Resource {
  /** One page, the latest failures first. `iterate` follows the pages. */
  async list(filter: api.ListFailures = {}, options?: CallOptions): Promise<api.FailurePage> {
    return objectWithList(await this.transport.send(get('/v1/failures', { ...filter }), options), 'failures');
  }

  /** Each failure, page after page, the latest first. */
  async *iterate(filter: Omit<api.ListFailures, 'after'> = {}, options?: CallOptions) {
    const load = (after?: string) => this.list(after === undefined ? filter : { ...filter, after }, options);
    for await (const page of pages(load)) yield* page.failures;
  }

  async summarize(query: api.SummarizeFailures = {}, options?: CallOptions): Promise<api.FailureSummary> {
    return objectWithList(await this.transport.send(get('/v1/failures/summary', { ...query }), options), 'failures');
  }
}

export class Events extends Resource {
  /** One page of the feed, in the order in which the events were recorded. */
  async list(query: api.ListEvents = {}, options?: CallOptions): Promise<api.EventPage> {
    const { types, ...more } = query;
    const call = get('/v1/events', { ...more, types: types?.length ? types.join(',') : undefined });
    const answer = await this.transport.send(call, options);
    objectWith(answer, 'next');
    return objectWithList(answer, 'events');
  }

  /** The pages that can be read now. Store each page's `next`, and pass it as `after` the next time. */
  async *pages(query: api.ListEvents = {}, options?: CallOptions): AsyncGenerator<api.EventPage> {
    for (let after = query.after; ; ) {
      const page = await this.list(after === undefined ? query : { ...query, after }, options);
      yield page;
      if (!page.has_more) return;
      if (page.next === after) throw new UnexpectedAnswerError('Latchkey answered with the same page again', 200);
      after = page.next;
    }
  }

  async get(id: string, options?: CallOptions): Promise<api.EventWithDeliveries> {
    return objectWith(await this.transport.send(get(`/v1/events/${inPath(id, 'event')}`), options), 'id');
  }

  /** Sends an event again: to every endpoint that receives its type, or to one. */
  async redeliver(
    id: string,
    to: { endpoint?: string } = {},
    options?: CallOptions,
  ): Promise<api.EventWithDeliveries> {
    const call = post(`/v1/events/${inPath(id, 'event')}/redeliver`, to);
    return objectWith(await this.transport.send(call, options), 'id');
  }

  /** Sends a test event to all endpoints, or to one. */
  async sendTest(to: { endpoint?: string } = {}, options?: CallOptions): Promise<api.Event> {
    const call = { ...post('/v1/webhooks/test', to), repeatable: false };
    return objectWith(await this.transport.send(call, options), 'id');
  }
}

export class OpsLinks extends Resource {
  /** Makes a link to the operators' page. It works once, within ten minutes. */
  async create(options?: CallOptions): Promise<api.OpsLink> {
    const answer = await this.transport.send({ ...post('/v1/ops-links'), repeatable: false }, options);
    return hideWhenPrinted(object<api.OpsLink>(answer), 'url');
  }
}
