import { waitFor, type Limits } from './deadline.js';
import { ProblemError } from './errors.js';
import type { GetToken, Token } from './types.js';

/** Asks Latchkey for a token. */
export type AskForToken = (connection: string, body: GetToken | undefined, options: TokenOptions) => Promise<Token>;

export interface TokenOptions extends Limits {
  /** How many seconds the token has to live at least. */
  minimumLifetime?: number | undefined;
  /** How many seconds Latchkey may wait for a refresh that is under way: 0 to 15. */
  wait?: number | undefined;
}

interface Flight {
  /** The fingerprint that this call reports. */
  rejected: string | undefined;
  token: Promise<Token>;
}

interface Entry {
  token?: Token | undefined;
  fetchedAt: number;
  /** The fingerprint of a token that Salesforce rejected, until Latchkey has given another one. */
  rejected?: string | undefined;
  /** Fingerprints that were reported and have a successor, the latest last. */
  replaced: string[];
  flight?: Flight | undefined;
  /** Why Latchkey gave no other token. */
  refusal?: { rejected: string; error: ProblemError; at: number } | undefined;
  /** Grows with each report: the answer to an older call is not kept. */
  reports: number;
}

/** Maximum connections whose tokens are kept. */
const MAX_CONNECTIONS = 10_000;
/** Maximum fingerprints of earlier tokens that are kept for a connection. */
const MAX_REPLACED = 10;
/** How long a refusal answers further reports of the same token: in a storm they come one after another. */
const SHARE_REFUSAL_MS = 1000;

/** Keeps each connection's token for a short time. Callers that need one at the same time share one call. */
export class TokenCache {
  readonly #entries = new Map<string, Entry>();
  readonly #ask: AskForToken;
  readonly #maxAgeMs: number;

  constructor(ask: AskForToken, maxAgeMs: number) {
    this.#ask = ask;
    this.#maxAgeMs = maxAgeMs;
  }

  /** A token that is not known to be rejected. */
  async get(connection: string, options: TokenOptions = {}): Promise<Token> {
    const entry = this.#entry(connection);
    const { minimumLifetime, wait, ...limits } = options;
    const cached = this.#fresh(entry, minimumLifetime ?? 0);
    if (cached) return cached;
    if (entry.rejected) return this.replace(connection, entry.rejected, options);
    if (minimumLifetime || wait !== undefined) {
      const body = minimumLifetime ? { minimum_lifetime: minimumLifetime } : undefined;
      const { reports } = entry;
      return this.#keep(entry, await this.#ask(connection, body, options), reports);
    }
    entry.flight ??= this.#start(connection, entry, undefined, options);
    const token = await waitFor(entry.flight.token, limits);
    // Somebody may have reported it while it was on its way.
    return token.fingerprint === entry.rejected ? this.replace(connection, token.fingerprint, options) : token;
  }

  /** The token after the one that Salesforce answered with 401. However many callers report it, one call is made. */
  async replace(connection: string, fingerprint: string, options: Limits = {}): Promise<Token> {
    const entry = this.#entry(connection);
    const other = this.#fresh(entry, 0);
    if (other && other.fingerprint !== fingerprint) return other;
    // A late report: what became of the token after it is known already.
    if (entry.replaced.includes(fingerprint)) return this.get(connection, options);
    entry.token = undefined;
    entry.rejected = fingerprint;
    const { refusal } = entry;
    if (refusal?.rejected === fingerprint && performance.now() - refusal.at < SHARE_REFUSAL_MS) throw refusal.error;
    entry.reports += entry.flight?.rejected === fingerprint ? 0 : 1;
    if (entry.flight?.rejected !== fingerprint) {
      entry.flight = this.#start(connection, entry, fingerprint, options);
    }
    return waitFor(entry.flight.token, { signal: options.signal, timeoutMs: options.timeoutMs });
  }

  /** Forgets a connection's token. */
  forget(connection: string): void {
    this.#entries.delete(connection);
  }

  /** The caller's signal does not end a call that others share. */
  #start(connection: string, entry: Entry, rejected: string | undefined, options: Limits): Flight {
    const flight: Flight = { rejected, token: undefined as unknown as Promise<Token> };
    const { reports } = entry;
    const work = async () => {
      try {
        const body = rejected === undefined ? undefined : { rejected };
        const token = await this.#ask(connection, body, { timeoutMs: options.timeoutMs });
        if (rejected !== undefined && entry.rejected === rejected) entry.rejected = undefined;
        if (rejected !== undefined && token.fingerprint !== rejected) {
          entry.replaced = [...entry.replaced, rejected].slice(-MAX_REPLACED);
        }
        return this.#keep(entry, token, reports);
      } catch (error) {
        if (rejected !== undefined && error instanceof ProblemError) {
          entry.refusal = { rejected, error, at: performance.now() };
        }
        throw error;
      } finally {
        if (entry.flight === flight) entry.flight = undefined;
      }
    };
    flight.token = work();
    // Every caller may have stopped waiting: a failure is then nobody's.
    flight.token.catch(() => undefined);
    return flight;
  }

  #keep(entry: Entry, token: Token, reports: number): Token {
    if (reports === entry.reports) {
      entry.token = token;
      entry.fetchedAt = performance.now();
      const isOld = (fingerprint: string) => fingerprint !== token.fingerprint;
      entry.replaced = entry.replaced.filter(isOld);
    }
    return token;
  }

  #fresh({ token, fetchedAt }: Entry, seconds: number): Token | undefined {
    if (!token || performance.now() - fetchedAt >= this.#maxAgeMs) return undefined;
    const left = Date.parse(token.expires_at) - Date.now();
    return left > seconds * 1000 ? token : undefined;
  }

  #entry(connection: string): Entry {
    const entry = this.#entries.get(connection) ?? { fetchedAt: 0, replaced: [], reports: 0 };
    // The one that was used longest ago comes first, and goes first.
    this.#entries.delete(connection);
    this.#entries.set(connection, entry);
    if (this.#entries.size > MAX_CONNECTIONS) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest);
        break;
      }
    }
    return entry;
  }
}
