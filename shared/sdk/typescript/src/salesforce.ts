import { secretAddress } from './address.js';
import { limit } from './deadline.js';
import { OtherOriginError, TimeoutError, UsageError } from './errors.js';
import type { TokenCache } from './tokens.js';
import type { Token } from './types.js';

/** What a request to Salesforce is authenticated for. */
export interface RequestToSign {
  method: string;
  /** Without query and fragment it is DPoP's `htu`. */
  url: string;
  token: Token;
}

/** Makes the headers that authenticate a request to Salesforce, such as a bearer token or a DPoP proof. */
export interface RequestSigner {
  headers(request: RequestToSign): Record<string, string> | Promise<Record<string, string>>;
  /** `true`: the request is sent once more with new headers, and no token is reported. For DPoP nonces. */
  wantsRepeat?(response: Response, request: RequestToSign): boolean | Promise<boolean>;
}

export const bearer: RequestSigner = {
  headers: ({ token }) => ({ authorization: `Bearer ${token.access_token}` }),
};

/** The org that a bound `fetch` calls. */
export interface SalesforceOrg {
  connection_id: string;
  /** The org's API when `fn` was called. Relative paths follow it if it moves. */
  instance_url: string;
  scopes: string[];
}

export interface SalesforceOptions {
  /** Ends every request. */
  signal?: AbortSignal | undefined;
  /** How long each request may take until its headers arrive. */
  timeoutMs?: number | undefined;
}

/** `fetch`, bound to one org: paths are relative to its instance URL, and each request carries a working token. */
export type SalesforceFetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

const MAX_REDIRECTS = 5;

interface Sender {
  tokens: TokenCache;
  fetch: typeof globalThis.fetch;
  signer: RequestSigner;
}

/** A request that can be sent again, unless its body is a stream. */
interface Prepared {
  method: string;
  url: URL;
  headers: Headers;
  body: RequestInit['body'] | undefined;
  isRepeatable: boolean;
  init: RequestInit;
}

export function boundFetch(sender: Sender, first: Token, options: SalesforceOptions): SalesforceFetch {
  const connection = first.connection_id;
  const origins = new Set([origin(first)]);
  const base = first.instance_url;

  return async (input, init = {}) => {
    const prepared = await prepare(input, init, base);
    if (!origins.has(prepared.url.origin)) {
      throw new OtherOriginError('this request would leave the org: its token is sent to the instance URL alone');
    }
    const signal = prepared.init.signal ?? options.signal;
    const limits = limit({ signal: signal ?? undefined, timeoutMs: options.timeoutMs });
    try {
      const token = await sender.tokens.get(connection, { signal: limits.signal });
      const answer = await sendTo(token);
      if (answer.status !== 401) return answer;
      const next = await sender.tokens.replace(connection, token.fingerprint, { signal: limits.signal });
      if (!prepared.isRepeatable) return answer;
      await answer.body?.cancel();
      const second = await sendTo(next);
      // Latchkey is told of this one as well. It throws the reason if refreshing is not the cure.
      if (second.status === 401) {
        await sender.tokens.replace(connection, next.fingerprint, { signal: limits.signal });
      }
      return second;
    } catch (error) {
      const isOver = limits.signal.aborted && !signal?.aborted;
      throw isOver ? new TimeoutError(`Salesforce did not answer within ${options.timeoutMs} ms`) : error;
    } finally {
      limits.stopTimer();
    }

    async function sendTo(token: Token): Promise<Response> {
      origins.add(origin(token));
      return sendSigned(sender, prepared, token, limits.signal);
    }
  };
}

const origin = (token: Token) => secretAddress(token.instance_url, "the connection's instance_url").origin;

async function prepare(input: string | URL | Request, init: RequestInit, base: string): Promise<Prepared> {
  const isRequest = typeof input === 'object' && 'method' in input;
  let url: URL;
  try {
    url = new URL(isRequest ? input.url : String(input), base);
  } catch {
    throw new UsageError('this is not a path or an address');
  }
  const method = (init.method ?? (isRequest ? input.method : 'GET')).toUpperCase();
  const headers = new Headers(init.headers ?? (isRequest ? input.headers : undefined));
  let body = init.body ?? undefined;
  if (init.body === undefined && isRequest && input.body) body = await input.arrayBuffer();
  const isStream = typeof body === 'object' && ('getReader' in body || Symbol.asyncIterator in body);
  const signal = init.signal ?? (isRequest ? input.signal : undefined);
  return { method, url, headers, body, isRepeatable: !isStream, init: signal ? { ...init, signal } : init };
}

/** Sends a request to the token's instance. Redirects within it are followed; any other is the answer. */
async function sendSigned(
  sender: Sender,
  prepared: Prepared,
  token: Token,
  signal: AbortSignal,
): Promise<Response> {
  const instance = origin(token);
  let { method, body } = prepared;
  const headers = new Headers(prepared.headers);
  let url = new URL(prepared.url.pathname + prepared.url.search, instance);
  let hasRepeated = false;
  for (let redirects = 0; ; ) {
    const request = { method, url: url.href, token };
    for (const [name, value] of Object.entries(await sender.signer.headers(request))) headers.set(name, value);
    const init: RequestInit & { duplex?: string } = { ...prepared.init, method, headers, redirect: 'manual', signal };
    delete init.body;
    if (body !== undefined && body !== null) {
      init.body = body;
      if (!prepared.isRepeatable) init.duplex = 'half';
    }
    const answer = await sender.fetch(url.href, init);
    if (!hasRepeated && prepared.isRepeatable && (await sender.signer.wantsRepeat?.(answer, request))) {
      hasRepeated = true;
      await answer.body?.cancel();
      continue;
    }
    const location = answer.headers.get('location');
    const isRedirect = [301, 302, 303, 307, 308].includes(answer.status) && location !== null;
    if (!isRedirect || prepared.init.redirect === 'manual' || redirects >= MAX_REDIRECTS) return answer;
    const target = URL.canParse(location, url.href) ? new URL(location, url.href) : undefined;
    const keepsBody = answer.status === 307 || answer.status === 308;
    if (target?.origin !== instance || (keepsBody && !prepared.isRepeatable)) return answer;
    await answer.body?.cancel();
    if (!keepsBody && method !== 'GET' && method !== 'HEAD') {
      method = 'GET';
      body = undefined;
      for (const name of ['content-type', 'content-length', 'content-encoding']) headers.delete(name);
    }
    url = target;
    redirects += 1;
  }
}
