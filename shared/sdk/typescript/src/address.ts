import { UsageError } from './errors.js';

const isLocal = (host: string) => /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])$/.test(host);

/** An address that a secret may be sent to: https, or http on this machine. */
export function secretAddress(text: string, what: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new UsageError(`${what} is not an address`);
  }
  const isSafe = url.protocol === 'https:' || (url.protocol === 'http:' && isLocal(url.hostname));
  if (!isSafe || url.username || url.password) throw new UsageError(`${what} must be an https address`);
  return url;
}
