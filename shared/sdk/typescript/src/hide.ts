const INSPECT = [Symbol.for('nodejs.util.inspect.custom'), Symbol.for('Deno.customInspect')];

/** Keeps a secret member out of loops, JSON, copies and what runtimes print. It can still be read by its name. */
export function hideMember<T extends object>(from: T, member: keyof T & string): T {
  Object.defineProperty(from, member, { enumerable: false });
  return from;
}

/** Keeps a member out of what runtimes print. JSON has it. */
export function hideWhenPrinted<T extends object>(from: T, member: keyof T & string): T {
  const print = { value: () => ({ ...from, [member]: '[hidden]' }), enumerable: false };
  for (const symbol of INSPECT) Object.defineProperty(from, symbol, print);
  return from;
}
