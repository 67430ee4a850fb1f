// `target/debug/local`: the functions, the table, Salesforce and the example product. Each story has its own, on
// any free ports, and ends it, by its process id, when the story is over.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const LOCAL = fileURLToPath(new URL('../../../target/debug/local', import.meta.url));
const ANY_PORTS = ['--port', '0', '--product-port', '0', '--salesforce-port', '0'];

/** Seconds after which a stack ends by itself, should its story die without ending it. */
const AT_MOST = '240';

export class Stack {
  /** `month`: how many sessions a month has that is replayed first; none: a world in which nothing has happened. */
  static async start({ month = 0 } = {}) {
    const first = month ? ['month', '--sessions', `${month}`] : [];
    const running = spawn(LOCAL, [...first, '--json', ...ANY_PORTS, '--stop-after', AT_MOST], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const logs = [];
    const addresses = await new Promise((found, failed) => {
      running.once('error', failed);
      running.once('exit', (code) => failed(new Error(`the stack ended with ${code}: ${logs.join('\n')}`)));
      createInterface(running.stdout).on('line', (line) => found(JSON.parse(line)));
      createInterface(running.stderr).on('line', (line) => logs.push(line));
    });
    return Object.assign(new Stack(), { running, logs, ...addresses });
  }

  get salesforcePort() {
    return /:(\d+)$/.exec(this.salesforce)[1];
  }

  async stop() {
    this.running.kill('SIGINT');
    await once(this.running, 'exit');
  }

  /** Fernway's backend calls Latchkey: it reads, or posts a wish. */
  call(path, wish) {
    const headers = { authorization: `Bearer ${this.api_keys.fernway}` };
    return ask(this.latchkey + path, { method: wish ? 'POST' : 'GET', headers }, wish && JSON.stringify(wish));
  }

  /** What only a test can do to Salesforce: tests/world/src/salesforce/http/control.rs. */
  world(control, wish) {
    const site = `http://salesforce.localhost:${this.salesforcePort}`;
    return ask(`${site}/_world/${control}`, { method: 'POST' }, JSON.stringify(wish));
  }
}

/** One request, without a browser: Node does not know that *.localhost is this machine. */
export async function send(address, options = {}, body = '') {
  const { hostname, host, port, pathname, search } = new URL(address);
  if (!hostname.endsWith('.localhost')) throw new Error(`${hostname} is not this machine`);
  const sent = request({
    ...options, host: '127.0.0.1', port, path: pathname + search, headers: { ...options.headers, host },
  });
  const [answer] = await once(sent.end(body), 'response');
  return { status: answer.statusCode, location: answer.headers.location, text: await text(answer) };
}

async function ask(address, options, body) {
  const answer = await send(address, options, body);
  if (answer.status >= 300) throw new Error(`${answer.status} from ${address}: ${answer.text}`);
  return JSON.parse(answer.text);
}
