import type { Actor, Incident, Problem, ProblemType, ReconnectCall } from './types.js';

/** The base of every error that this package throws. None holds a key, a token, a receipt or a body that was sent. */
export class LatchkeyError extends Error {
  override name = 'LatchkeyError';
}

/** The client or a call was set up in a way that cannot work. Nothing was sent. */
export class UsageError extends LatchkeyError {
  override name = 'UsageError';
}

/** There was no answer: no connection, or it broke off. `code` is the runtime's, such as `ECONNREFUSED`. */
export class UnreachableError extends LatchkeyError {
  override name = 'UnreachableError';
  constructor(
    message: string,
    readonly code?: string,
  ) {
    super(message);
  }
}

/** There was no answer in time. */
export class TimeoutError extends LatchkeyError {
  override name = 'TimeoutError';
}

/** There was an answer, and it is not one that the API gives. */
export class UnexpectedAnswerError extends LatchkeyError {
  override name = 'UnexpectedAnswerError';
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** A webhook delivery that is not Latchkey's, or too old. Answer it with 401. */
export class WebhookVerificationError extends LatchkeyError {
  override name = 'WebhookVerificationError';
}

/** A request that would have left the connection's org. Nothing was sent. */
export class OtherOriginError extends LatchkeyError {
  override name = 'OtherOriginError';
}

const ACTORS: Partial<Record<ProblemType, Actor>> = {
  'reauthorization-needed': 'end_user',
  'blocked-by-org': 'admin',
  'vendor-incident': 'vendor',
  'token-not-ready': 'wait',
  'not-sent': 'wait',
  'salesforce-unavailable': 'wait',
  'import-under-way': 'wait',
  unavailable: 'wait',
};

const PREFIX = 'urn:latchkey:problem:';

/** Latchkey answered with a problem (RFC 9457). */
export class ProblemError extends LatchkeyError {
  override name = 'ProblemError';
  readonly status: number;
  /** The kind of problem. `undefined`: the answer came from the gateway in front of Latchkey. */
  readonly type: ProblemType | (string & {}) | undefined;
  readonly title: string;
  readonly detail: string | undefined;
  /** The id of the cause in Latchkey's catalogue, such as `app_blocked`. */
  override readonly cause: string | undefined;
  /** Who acts: `end_user`, `admin`, `vendor`, or `wait` if nobody has to. */
  readonly actor: Actor | undefined;
  /** The page with the steps for whoever acts. */
  readonly helpUrl: string | undefined;
  /** What a person reads out to support. */
  readonly reference: string | undefined;
  /** How many seconds to wait before the same call again. */
  readonly retryAfter: number | undefined;
  readonly incident: Incident | undefined;
  /** The whole document. */
  readonly problem: Problem;

  constructor(problem: Problem, retryAfter?: number) {
    const where = problem.reference ? ` (${problem.reference})` : '';
    super(`${problem.status} ${problem.title}${problem.detail ? `: ${problem.detail}` : ''}${where}`);
    this.status = problem.status;
    this.type = problem.type.startsWith(PREFIX) ? problem.type.slice(PREFIX.length) : undefined;
    this.title = problem.title;
    this.detail = problem.detail;
    this.cause = problem.cause;
    this.actor =
      problem.actor ?? ACTORS[this.type as ProblemType] ?? (this.status === 429 && !this.type ? 'wait' : undefined);
    this.helpUrl = problem.help_url;
    this.reference = problem.reference;
    this.retryAfter = retryAfter;
    this.incident = problem.incident;
    this.problem = problem;
  }

  /** The error for a problem document. */
  static from(problem: Problem, retryAfter?: number): ProblemError {
    const isReconnect = problem.type === `${PREFIX}reauthorization-needed` && problem.reconnect;
    return isReconnect ? new ReauthorizationNeededError(problem, retryAfter) : new ProblemError(problem, retryAfter);
  }
}

/** The user has to connect again: pass `reconnect.body` to `connectSessions.create`, and redirect the user. */
export class ReauthorizationNeededError extends ProblemError {
  override name = 'ReauthorizationNeededError';

  get reconnect(): ReconnectCall {
    return this.problem.reconnect as ReconnectCall;
  }
}
