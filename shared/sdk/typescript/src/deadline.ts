import { TimeoutError } from './errors.js';

/** How long something may take, and what ends it before. */
export interface Limits {
  signal?: AbortSignal | undefined;
  timeoutMs?: number | undefined;
}

/** A signal that ends with the caller's, or when the time is over. `stopTimer` keeps the caller's signal linked. */
export function limit({ signal, timeoutMs }: Limits): { signal: AbortSignal; stopTimer(): void; end(): void } {
  const controller = new AbortController();
  const late = () => controller.abort(new TimeoutError(`no answer within ${timeoutMs} ms`));
  const timer = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs);
  const stopTimer = () => clearTimeout(timer);
  if (!signal) return { signal: controller.signal, stopTimer, end: stopTimer };
  if ('any' in AbortSignal) {
    return { signal: AbortSignal.any([signal, controller.signal]), stopTimer, end: stopTimer };
  }
  // Node 20.0 to 20.2.
  const given: AbortSignal = signal;
  const pass = () => controller.abort(given.reason);
  if (given.aborted) pass();
  given.addEventListener('abort', pass, { once: true });
  const end = () => {
    stopTimer();
    given.removeEventListener('abort', pass);
  };
  return { signal: controller.signal, stopTimer, end };
}

/** Waits for work that others wait for as well: the limits end the wait, not the work. */
export async function waitFor<T>(work: Promise<T>, limits: Limits): Promise<T> {
  if (!limits.signal && limits.timeoutMs === undefined) return work;
  const { signal, end } = limit(limits);
  try {
    return await new Promise<T>((resolve, reject) => {
      const stop = () => reject(signal.reason);
      if (signal.aborted) stop();
      signal.addEventListener('abort', stop, { once: true });
      work.then(resolve, reject);
    });
  } finally {
    end();
  }
}

export async function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await waitFor(new Promise<void>((done) => setTimeout(done, ms)), { signal });
}
