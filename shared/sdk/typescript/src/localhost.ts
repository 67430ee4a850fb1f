// For development with the local stack: `node --import latchkey-sdk/localhost server.js`.
// Node asks the system's resolver for names below `localhost`, and many do not know them (RFC 6761 §6.3).

interface Found {
  address: string;
  family: number;
}
type Done = (error: Error | null, found: string | Found[], family?: number) => void;
type Lookup = (name: string, options: unknown, done?: Done) => void;

// Only Node has this module: other runtimes import the package without it.
const { default: dns } = (await import('node:dns' as string)) as { default: { lookup: Lookup } };
const { lookup } = dns;

dns.lookup = (name, options, given) => {
  if (!/(^|\.)localhost$/.test(name)) return lookup(name, options, given);
  const done = given ?? (options as Done);
  const wantsAll = typeof options === 'object' && options !== null && 'all' in options && options.all === true;
  queueMicrotask(() => (wantsAll ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)));
};

export {};
