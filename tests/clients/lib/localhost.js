// Preloaded by `--import`: `localhost` and every name below it are this machine (RFC 6761 §6.3), which Node leaves
// to the system's resolver, and nothing else resolves. The client libraries stay as they are.

import dns from 'node:dns';
import { isIP } from 'node:net';

const { lookup } = dns;

dns.lookup = (name, options, callback) => {
  if (isIP(name)) return lookup(name, options, callback);
  const done = callback ?? options;
  if (!/(^|\.)localhost$/.test(name)) {
    const refused = new Error(`the tests talk to this machine alone, not to ${name}`);
    return process.nextTick(done, Object.assign(refused, { code: 'ENOTFOUND', hostname: name }));
  }
  return options?.all
    ? process.nextTick(done, null, [{ address: '127.0.0.1', family: 4 }])
    : process.nextTick(done, null, '127.0.0.1', 4);
};
