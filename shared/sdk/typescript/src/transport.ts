import { secretAddress } from './address.js';
import { limit, sleep, type Limits } from './deadline.js';
import { LatchkeyError, ProblemError, TimeoutError, UnexpectedAnswerError, UnreachableError, UsageError } from './errors.js';
import type { Problem } from './types.js';

export interface TransportOptions {
  /** Latchkey's address, such as `https://connect.example.com`. */
  url: string;
  apiKey: string;
  fetch?: typeof globalThis.fetch | undefined;
  /** How long a call may take with its retries. */
  timeoutMs?: number | undefined;
  /** How long one attempt may take. */
  attemptTimeoutMs?: number | undefined;
  /** Maximum retries of a call. */
  maxRetries?: number | undefined;
}

/** Options of each call. */
export interface CallOptions extends Limits {
  maxRetries?: number | undefined;
}

export interface ApiCall {
  method: 'GET' | 'POST' | 'DELETE';
  path: string;
  query?: Record<string, string | number | boolean | undefined> | undefined;
  body?: object | undefined;
  idempotencyKey?: string | undefined;
  /** Whether a second call does no harm when it is unknown what became of the first. */
  repeatable: boolean;
  /** Whether 404 means success if an attempt before may have been carried out. */
  goneIsDone?: boolean | undefined;
}

export interface Answer {
  status: number;
  /** `undefined`: the answer had no body. */
  json: unknown;
}

const CALL_TIMEOUT_MS = 60_000;
const ATTEMPT_TIMEOUT_MS = 30_000;
const MAX_RETRIES = 2;
/** Maximum wait before a retry. If Latchkey asks for more, the caller gets the problem with its `retryAfter`. */
const MAX_WAIT_MS = 10_000;
const FIRST_WAIT_MS = 500;

/** Calls Latchkey. Follows no redirect, and retries what docs/api.md allows. */
export class Transport {
  readonly #apiKey: string;
  readonly #base: URL;
  readonly #fetch: typeof globalThis.fetch;
  readonly #options: TransportOptions;

  constructor(options: TransportOptions) {
    this.#base = secretAddress(options.url, 'url');
    if (!/^[\x21-\x7e]+$/.test(options.apiKey)) throw new UsageError('apiKey is missing or not an API key');
    const { fetch = globalThis.fetch } = options;
    this.#fetch = (input, init) => fetch(input, init);
    this.#apiKey = options.apiKey;
    this.#options = options;
  }

  async send(call: ApiCall, options: CallOptions = {}): Promise<Answer> {
    const retries = options.maxRetries ?? this.#options.maxRetries ?? MAX_RETRIES;
    const timeoutMs = options.timeoutMs ?? this.#options.timeoutMs ?? CALL_TIMEOUT_MS;
    const end = Date.now() + timeoutMs;
    let maybeDone = false;
    for (let attempt = 0; ; attempt += 1) {
      let failed: LatchkeyError;
      try {
        return await this.#attempt(call, options.signal, end - Date.now());
      } catch (error) {
        const isGone = call.goneIsDone && maybeDone && error instanceof ProblemError && error.type === 'not-found';
        if (isGone) return { status: 204, json: undefined };
        if (!(error instanceof LatchkeyError) || attempt >= retries) throw error;
        failed = error;
      }
      const wait = waitBeforeRetry(call, failed, attempt);
      if (wait === undefined || Date.now() + wait >= end) throw failed;
      maybeDone ||= !(failed instanceof ProblemError) || failed.status >= 500;
      await sleep(wait, options.signal);
    }
  }

  async #attempt(call: ApiCall, signal: AbortSignal | undefined, left: number): Promise<Answer> {
    const timeoutMs = Math.max(1, Math.min(left, this.#options.attemptTimeoutMs ?? ATTEMPT_TIMEOUT_MS));
    const limits = limit({ signal, timeoutMs });
    try {
      const headers: Record<string, string> = { accept: 'application/json', authorization: `Bearer ${this.#apiKey}` };
      if (call.body) headers['content-type'] = 'application/json';
      if (call.idempotencyKey) headers['idempotency-key'] = call.idempotencyKey;
      const response = await this.#fetch(this.#address(call), {
        method: call.method,
        headers,
        ...(call.body ? { body: JSON.stringify(call.body) } : {}),
        redirect: 'manual',
        signal: limits.signal,
      });
      return await read(response);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (limits.signal.aborted) throw new TimeoutError(`Latchkey did not answer within ${Math.round(timeoutMs)} ms`);
      if (error instanceof LatchkeyError) throw error;
      const code = networkCode(error);
      throw new UnreachableError(`Latchkey cannot be reached${code ? `: ${code}` : ''}`, code);
    } finally {
      limits.end();
    }
  }

  #address(call: ApiCall): string {
    const address = new URL(this.#base.href.replace(/\/$/, '') + call.path);
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) address.searchParams.set(name, String(value));
    }
    return address.href;
  }
}

/** How long to wait before the same call again; `undefined`: it is not made again. */
function waitBeforeRetry(call: ApiCall, error: LatchkeyError, attempt: number): number | undefined {
  const backoff = FIRST_WAIT_MS * 2 ** attempt * (0.5 + Math.random() / 2);
  if (error instanceof ProblemError) {
    const { status, type, retryAfter } = error;
    const isPassing =
      (status === 429 && type !== 'too-many-reports') ||
      (status === 503 && (retryAfter !== undefined || call.repeatable)) ||
      ((status === 502 || status === 504) && call.repeatable) ||
      type === 'import-under-way';
    if (!isPassing) return undefined;
    const wait = retryAfter === undefined ? backoff : retryAfter * 1000 + Math.random() * 100;
    return wait > MAX_WAIT_MS ? undefined : wait;
  }
  const isUnknown = error instanceof UnreachableError || error instanceof TimeoutError;
  return isUnknown && call.repeatable ? backoff : undefined;
}

async function read(response: Response): Promise<Answer> {
  const { status } = response;
  if (response.type === 'opaqueredirect' || (status >= 300 && status < 400)) {
    await response.body?.cancel();
    throw new UnexpectedAnswerError('Latchkey answered with a redirect: check the url', status);
  }
  const text = await response.text();
  let json: unknown;
  let isJson = true;
  try {
    json = text ? JSON.parse(text) : undefined;
  } catch {
    isJson = false;
  }
  if (status >= 400) throw ProblemError.from(readProblem(status, json), readRetryAfter(response.headers));
  if (!isJson) throw new UnexpectedAnswerError('Latchkey answered with something that is not JSON', status);
  return { status, json };
}

const isObject = (json: unknown): json is Record<string, unknown> =>
  typeof json === 'object' && json !== null && !Array.isArray(json);

/** The problem of an error answer. What is not of its documented type is left out. */
function readProblem(status: number, json: unknown): Problem {
  const known = isObject(json) && typeof json['type'] === 'string' && typeof json['title'] === 'string';
  if (!known) return { type: 'about:blank', title: 'The answer has no problem document', status };
  const problem: Record<string, unknown> = { ...json, status };
  for (const name of ['detail', 'cause', 'actor', 'reference', 'help_url', 'parameter']) {
    if (name in problem && typeof problem[name] !== 'string') delete problem[name];
  }
  const { reconnect, incident } = problem;
  if (!isObject(reconnect) || !isObject(reconnect['body'])) delete problem['reconnect'];
  if (!isObject(incident)) delete problem['incident'];
  return problem as unknown as Problem;
}

function readRetryAfter(headers: Headers): number | undefined {
  const text = headers.get('retry-after')?.trim();
  if (!text) return undefined;
  if (/^\d+$/.test(text)) return Number(text);
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, Math.ceil((at - Date.now()) / 1000));
}

/** The runtime's short code, such as `ECONNREFUSED`. Its message may repeat the address: it is left out. */
function networkCode(error: unknown): string | undefined {
  for (let step: unknown = error; isObject(step); step = step['cause']) {
    if (typeof step['code'] === 'string' && /^[A-Z_0-9]+$/.test(step['code'])) return step['code'];
  }
  return undefined;
}

/** An answer that must be an object. */
export function object<T>(answer: Answer): T {
  if (!isObject(answer.json)) throw new UnexpectedAnswerError('Latchkey answered without a JSON object', answer.status);
  return answer.json as T;
}

/** An answer that must have these members as texts. */
export function objectWith<T>(answer: Answer, ...texts: string[]): T {
  const found = object<Record<string, unknown>>(answer);
  for (const name of texts) {
    if (typeof found[name] !== 'string' || found[name] === '') {
      throw new UnexpectedAnswerError(`Latchkey answered without ${name}`, answer.status);
    }
  }
  return found as T;
}

/** An answer that must have this member as a list. */
export function objectWithList<T>(answer: Answer, list: string): T {
  const found = object<Record<string, unknown>>(answer);
  if (!Array.isArray(found[list])) {
    throw new UnexpectedAnswerError(`Latchkey answered without ${list}`, answer.status);
  }
  return found as T;
}
