import { UsageError } from './errors.js';
import { hideMember } from './hide.js';
import { Connections, ConnectSessions, Events, Failures, inPath, OpsLinks, type ConnectionRef } from './resources.js';
import {
  bearer,
  boundFetch,
  type RequestSigner,
  type SalesforceFetch,
  type SalesforceOptions,
  type SalesforceOrg,
} from './salesforce.js';
import { TokenCache, type TokenOptions } from './tokens.js';
import { objectWith, Transport, type ApiCall } from './transport.js';
import type { GetToken, Token } from './types.js';

export interface LatchkeyOptions {
  /** Latchkey's address. By default the environment variable `LATCHKEY_URL`. */
  url?: string | undefined;
  /** Your product's API key. By default the environment variable `LATCHKEY_API_KEY`. */
  apiKey?: string | undefined;
  /** Calls Latchkey and Salesforce. By default the runtime's `fetch`. */
  fetch?: typeof globalThis.fetch | undefined;
  /** How long a call of Latchkey may take with its retries. By default 60,000. */
  timeoutMs?: number | undefined;
  /** How long one attempt may take. By default 30,000. */
  attemptTimeoutMs?: number | undefined;
  /** Maximum retries of a call of Latchkey. By default 2. */
  maxRetries?: number | undefined;
  /** How long a request to Salesforce may take until its headers arrive. By default 120,000. */
  salesforceTimeoutMs?: number | undefined;
  /** How long a token is used without asking Latchkey: 0 to 60,000. By default 60,000. */
  tokenCacheMs?: number | undefined;
  /** Authenticates requests to Salesforce. By default with a bearer token. */
  signer?: RequestSigner | undefined;
}

/** Maximum age of a cached token. */
const MAX_TOKEN_CACHE_MS = 60_000;
const SALESFORCE_TIMEOUT_MS = 120_000;

/** Latchkey's API, and Salesforce with tokens from Latchkey. */
export class Latchkey {
  readonly connectSessions: ConnectSessions;
  readonly connections: Connections;
  readonly tokens: Tokens;
  readonly failures: Failures;
  readonly events: Events;
  readonly opsLinks: OpsLinks;
  readonly #cache: TokenCache;
  readonly #options: LatchkeyOptions;

  constructor(options: LatchkeyOptions = {}) {
    const url = options.url ?? environment('LATCHKEY_URL');
    const apiKey = options.apiKey ?? environment('LATCHKEY_API_KEY');
    if (!url || !apiKey) throw new UsageError('url and apiKey are needed, or LATCHKEY_URL and LATCHKEY_API_KEY');
    const cacheMs = options.tokenCacheMs ?? MAX_TOKEN_CACHE_MS;
    if (!(cacheMs >= 0 && cacheMs <= MAX_TOKEN_CACHE_MS)) throw new UsageError('tokenCacheMs must be 0 to 60000');
    const transport = new Transport({ ...options, url, apiKey });
    this.#options = { ...options, apiKey: undefined };
    this.#cache = new TokenCache((...call) => ask(transport, ...call), cacheMs);
    const forget = (connection: string) => this.#cache.forget(connection);
    this.connectSessions = new ConnectSessions(transport, forget);
    this.connections = new Connections(transport, forget);
    this.tokens = new Tokens(this.#cache);
    this.failures = new Failures(transport);
    this.events = new Events(transport);
    this.opsLinks = new OpsLinks(transport);
  }

  /**
   * Calls `fn` with a `fetch` that is bound to the connection's org. If Salesforce answers one of its requests with 401,
   * the token is reported to Latchkey and that request is sent once more. `fn` runs once.
   */
  async withSalesforce<T>(
    connection: ConnectionRef,
    fn: (fetch: SalesforceFetch, org: SalesforceOrg) => T | Promise<T>,
    options: SalesforceOptions = {},
  ): Promise<T> {
    const token = await this.tokens.get(connection, { signal: options.signal });
    const { fetch = globalThis.fetch, signer = bearer, salesforceTimeoutMs } = this.#options;
    const sender = { tokens: this.#cache, fetch: bindFetch(fetch), signer };
    const timeoutMs = options.timeoutMs ?? salesforceTimeoutMs ?? SALESFORCE_TIMEOUT_MS;
    const { connection_id, instance_url, scopes } = token;
    return fn(boundFetch(sender, token, { ...options, timeoutMs }), { connection_id, instance_url, scopes });
  }
}

/** The tokens of connections. For calls to Salesforce, `withSalesforce` does all of this. */
export class Tokens {
  readonly #cache: TokenCache;

  constructor(cache: TokenCache) {
    this.#cache = cache;
  }

  /** A working token. One that is younger than the cache's limit is returned without a call. */
  async get(connection: ConnectionRef, options?: TokenOptions): Promise<Token> {
    return this.#cache.get(inPath(connection, 'connection'), options);
  }

  /** Reports that Salesforce answered the token with this fingerprint with 401, and returns the token after it. */
  async replace(
    connection: ConnectionRef,
    fingerprint: string,
    options?: Pick<TokenOptions, 'signal' | 'timeoutMs'>,
  ): Promise<Token> {
    return this.#cache.replace(inPath(connection, 'connection'), fingerprint, options);
  }
}

async function ask(
  transport: Transport,
  connection: string,
  body: GetToken | undefined,
  { wait, ...limits }: TokenOptions,
): Promise<Token> {
  const path = `/v1/connections/${connection}/token`;
  const call: ApiCall = { method: body ? 'POST' : 'GET', path, query: { wait }, body, repeatable: true };
  const answer = await transport.send(call, limits);
  const token = objectWith<Token>(answer, 'access_token', 'instance_url', 'fingerprint', 'expires_at');
  // The caller's own name of the connection: it is what the cache is keyed by.
  return hideMember({ ...token, connection_id: connection }, 'access_token');
}

const bindFetch =
  (fetch: typeof globalThis.fetch): typeof globalThis.fetch =>
  (input, init) =>
    fetch(input, init);

/** A variable of the environment, where the runtime has one. */
function environment(name: string): string | undefined {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  return process?.env?.[name];
}
