import { UsageError, WebhookVerificationError } from './errors.js';
import type { Event } from './types.js';

export { WebhookVerificationError } from './errors.js';
export type { Event, EventData, EventType } from './types.js';

/** The headers of a request: `Headers`, or an object as Node has it. */
export type WebhookHeaders = Headers | Record<string, string | string[] | undefined>;

export interface VerifyOptions {
  /** The endpoint's secret (`whsec_…`). While it is being rotated: both. */
  secret: string | readonly string[];
  /** How far the delivery's time may be from now, in seconds. By default 300. */
  toleranceSeconds?: number | undefined;
}

/** Remembers which events were handled. Back it with your database if you have several processes. */
export interface WebhookStore {
  /** Whether the event with this id was handled. */
  hasHandled(eventId: string): boolean | Promise<boolean>;
  /** The highest sequence that was handled of this connection. */
  highestSequence(connectionId: string): number | undefined | Promise<number | undefined>;
  /** Called after an event was handled. Keep the highest sequence. */
  save(eventId: string, connectionId: string | undefined, sequence: number | undefined): void | Promise<void>;
}

/** What became of a delivery. Answer each of them with 2xx. */
export type HandleOutcome = 'handled' | 'duplicate' | 'outdated';

const TOLERANCE_SECONDS = 300;
/** Maximum events and connections that the store in memory remembers. */
const MAX_REMEMBERED = 100_000;
const encoder = new TextEncoder();

/**
 * Verifies a delivery and returns its event. Pass the body as it came in, not parsed and made into text again.
 * Throws `WebhookVerificationError`.
 */
export async function verifyWebhook(
  headers: WebhookHeaders,
  body: string | Uint8Array,
  options: VerifyOptions,
): Promise<Event> {
  const [id, timestamp, signatures] = ['id', 'timestamp', 'signature'].map((name) => header(headers, `webhook-${name}`));
  if (!id || !timestamp || !signatures) throw new WebhookVerificationError('a webhook header is missing');
  if (!/^\d{1,12}$/.test(timestamp)) throw new WebhookVerificationError('the timestamp is not a number');
  const age = Math.abs(Date.now() / 1000 - Number(timestamp));
  if (age > (options.toleranceSeconds ?? TOLERANCE_SECONDS)) {
    throw new WebhookVerificationError('the timestamp is too far from now');
  }
  const bytes = typeof body === 'string' ? encoder.encode(body) : body;
  const signed = concat(encoder.encode(`${id}.${timestamp}.`), bytes);
  if (!(await isSigned(signed, signatures, secretsOf(options)))) {
    throw new WebhookVerificationError('no signature is right');
  }
  return readEvent(bytes, id);
}

/** Handles each event once, and ignores an event of a connection that is older than one that was handled. */
export class WebhookReceiver {
  readonly #options: VerifyOptions;
  readonly #store: WebhookStore;
  /** The last delivery of each event and connection that is being handled. */
  readonly #queues = new Map<string, Promise<unknown>>();

  constructor(options: VerifyOptions & { store?: WebhookStore | undefined }) {
    secretsOf(options);
    this.#options = options;
    this.#store = options.store ?? new MemoryStore();
  }

  /**
   * Verifies a delivery and calls `handler` with its event. An event counts as handled once `handler` has returned:
   * if it throws, answer with 500, and Latchkey sends the event again.
   */
  async handle(
    headers: WebhookHeaders,
    body: string | Uint8Array,
    handler: (event: Event) => unknown,
  ): Promise<HandleOutcome> {
    const event = await verifyWebhook(headers, body, this.#options);
    const { connection_id, sequence } = event.data;
    const isOrdered = event.type.startsWith('connection.') && typeof sequence === 'number' && connection_id;
    const [connection, order] = isOrdered ? [connection_id, sequence] : [undefined, undefined];
    return this.#inTurn(connection ?? event.id, async () => {
      if (await this.#store.hasHandled(event.id)) return 'duplicate';
      const highest = connection === undefined ? undefined : await this.#store.highestSequence(connection);
      // An equal sequence is not older: `connection.expiring` has the sequence of the change before it.
      const isOutdated = order !== undefined && highest !== undefined && order < highest;
      if (!isOutdated) await handler(event);
      await this.#store.save(event.id, connection, order);
      return isOutdated ? 'outdated' : 'handled';
    });
  }

  /** One after another for each key. */
  async #inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#queues.get(key) ?? Promise.resolve();
    const mine = before.then(work, work);
    this.#queues.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#queues.get(key) === mine) this.#queues.delete(key);
    }
  }
}

class MemoryStore implements WebhookStore {
  readonly #events = new Set<string>();
  readonly #sequences = new Map<string, number>();

  hasHandled(eventId: string): boolean {
    return this.#events.has(eventId);
  }

  highestSequence(connectionId: string): number | undefined {
    return this.#sequences.get(connectionId);
  }

  save(eventId: string, connectionId: string | undefined, sequence: number | undefined): void {
    this.#events.add(eventId);
    dropOldest(this.#events);
    if (connectionId === undefined || sequence === undefined) return;
    const highest = Math.max(sequence, this.#sequences.get(connectionId) ?? 0);
    this.#sequences.delete(connectionId);
    this.#sequences.set(connectionId, highest);
    dropOldest(this.#sequences);
  }
}

function dropOldest(from: Set<string> | Map<string, number>): void {
  if (from.size <= MAX_REMEMBERED) return;
  for (const oldest of from.keys()) {
    from.delete(oldest);
    return;
  }
}

function header(headers: WebhookHeaders, name: string): string | undefined {
  if (headers instanceof Headers) return headers.get(name) ?? undefined;
  const found = Object.entries(headers).filter(([given]) => given.toLowerCase() === name);
  const value = found.length === 1 ? found[0]?.[1] : undefined;
  return typeof value === 'string' ? value : undefined;
}

function secretsOf({ secret }: VerifyOptions): Uint8Array<ArrayBuffer>[] {
  const secrets = typeof secret === 'string' ? [secret] : secret;
  if (secrets.length === 0) throw new UsageError('a webhook secret is needed');
  return secrets.map((text) => {
    try {
      const bytes = Uint8Array.from(atob(text.replace(/^whsec_/, '')), (char) => char.charCodeAt(0));
      if (bytes.length > 0) return bytes;
    } catch {
      // Reported below, without the text.
    }
    throw new UsageError('a webhook secret is whsec_ and base64');
  });
}

/** Whether one of the signatures was made with one of the secrets. `verify` compares in constant time. */
async function isSigned(signed: BufferSource, signatures: string, secrets: Uint8Array<ArrayBuffer>[]): Promise<boolean> {
  for (const secret of secrets) {
    const key = await crypto.subtle.importKey('raw', secret, { name: 'HMAC', hash: 'SHA-256' }, false, ['verify']);
    for (const signature of signatures.split(' ').slice(0, 10)) {
      const bytes = signature.startsWith('v1,') ? decode(signature.slice(3)) : undefined;
      if (bytes && (await crypto.subtle.verify('HMAC', key, bytes, signed))) return true;
    }
  }
  return false;
}

function decode(base64: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  } catch {
    return undefined;
  }
}

function concat(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

function readEvent(bytes: Uint8Array, id: string): Event {
  let event: Partial<Event> | null;
  try {
    event = JSON.parse(new TextDecoder().decode(bytes)) as Partial<Event> | null;
  } catch {
    throw new WebhookVerificationError('the body is not JSON');
  }
  const isEvent = typeof event === 'object' && event !== null && typeof event.type === 'string';
  if (!isEvent || event?.id !== id || typeof event.data !== 'object' || event.data === null) {
    throw new WebhookVerificationError('the body is not the event that the headers name');
  }
  return event as Event;
}
