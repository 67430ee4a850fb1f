// Latchkey on this machine, and what Fernway, its example product, does with it.

import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { parse } from 'smol-toml';

const ROOT = new URL('../../../', import.meta.url);

/** What the stack may take to start, and the end that it puts to itself should its test die first. */
const STARTS_WITHIN_MS = 60_000;
const STOPS_AFTER_S = 600;

/** How far its log may be behind its answers. */
const LOGGED_WITHIN_MS = 5_000;

/** Fernway's connected app, as its product file registers it and the local stack gives it a consumer secret. */
export async function syncApp() {
  const file = await readFile(new URL('infra/products/fernway.toml', ROOT), 'utf8');
  const app = parse(file).apps.find(({ id }) => id === 'sync');
  const secret = `local-secret-of-${app.secret.split('/').at(-1)}`;
  return { consumerKey: app.consumer_key, secret, scopes: app.scopes };
}

/** The levels of what the functions log. */
const EVERYTHING = 'debug,hyper=info,h2=info';
const WARNINGS = 'warn';

export class Latchkey {
  #process;
  #ended;
  #lines = [];
  #flags;
  #ports = ['--port', '0', '--product-port', '0', '--salesforce-port', '0'];
  #level = EVERYTHING;

  /** Starts every function on a free port, with these further flags. */
  static async start(...flags) {
    const latchkey = new Latchkey();
    latchkey.#flags = flags;
    await latchkey.#start();
    return latchkey;
  }

  /** The same, logging warnings alone. */
  static async startQuietly(...flags) {
    const latchkey = new Latchkey();
    latchkey.#flags = flags;
    latchkey.#level = WARNINGS;
    await latchkey.#start();
    return latchkey;
  }

  /** Ends the process at once, as a crash of the machine would: `kill -9`. */
  async kill() {
    this.#process.kill('SIGKILL');
    await this.#ended;
  }

  /** Starts again where it was, with the flags that it had. */
  async restart() {
    const port = (origin) => new URL(origin).port;
    this.#ports = [
      ...['--port', port(this.origin)],
      ...['--product-port', port(this.returnTo)],
      ...['--salesforce-port', port(this.salesforce)],
    ];
    await this.#start();
  }

  async #start() {
    const command = new URL('target/debug/local', ROOT).pathname;
    this.#process = spawn(command, ['--json', '--stop-after', STOPS_AFTER_S, ...this.#ports, ...this.#flags], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, RUST_LOG: this.#level },
    });
    this.#ended = new Promise((done) => this.#process.once('close', done));
    const addresses = await new Promise((found, failed) => {
      AbortSignal.timeout(STARTS_WITHIN_MS).onabort = () => failed(new Error('the local stack did not start in time'));
      this.#process.once('error', failed);
      this.#process.once('exit', (code) => failed(new Error(`the local stack ended with ${code}`)));
      createInterface({ input: this.#process.stdout }).on('line', (line) => found(JSON.parse(line)));
      createInterface({ input: this.#process.stderr }).on('line', (line) => this.#lines.push(line));
    });
    this.origin = addresses.latchkey;
    this.callback = `${addresses.latchkey}/oauth/callback`;
    this.returnTo = `${addresses.product}/salesforce/return`;
    this.salesforce = `http://${addresses.salesforce}`;
    this.apiKey = addresses.api_keys.fernway;
  }

  /** Ends the process that `start` began, and no other. Its log is whole from then on. */
  async stop() {
    this.#process.kill();
    await this.#ended;
  }

  /** What the functions logged, down to `debug`. */
  get log() {
    return this.#lines.join('\n');
  }

  /** The lines of the log that name this. */
  linesOf(id) {
    return this.#lines.filter((line) => line.includes(id)).join('\n');
  }

  /** Waits for the log to say so in what follows its first `from` characters. */
  async logs(text, from) {
    const end = Date.now() + LOGGED_WITHIN_MS;
    while (!this.log.slice(from).includes(text)) {
      if (Date.now() > end) throw new Error(`the log does not say: ${text}`);
      await setTimeout(20);
    }
  }

  /** Fernway's backend calls the API. */
  async call(method, path, body) {
    const answer = await fetch(`${this.origin}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.apiKey}`, 'content-type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    return { status: answer.status, body: text ? JSON.parse(text) : undefined };
  }

  /** The same, where any other status than this one fails the test. */
  async expect(status, method, path, body) {
    const answer = await this.call(method, path, body);
    if (answer.status === status) return answer.body;
    const { title, detail } = answer.body ?? {};
    throw new Error(`${method} ${path}: ${answer.status} instead of ${status}: ${title}. ${detail}`);
  }

  /** Alice of Acme is to connect an org. */
  wish() {
    return this.expect(201, 'POST', '/v1/connect-sessions', {
      app: 'sync',
      customer: { id: 'c-acme', name: 'Acme Corporation' },
      user: 'u-alice',
      return_to: this.returnTo,
      another: true, // each test has a connection of its own: without it, Alice's is renewed and its old grant revoked
    });
  }

  /** The browser has come back to `return_to`; Alice's own session redeems what it brought. */
  redeem(page) {
    const { connect_session: session, receipt } = Object.fromEntries(page.url.searchParams);
    if (!receipt) throw new Error(`no receipt came to ${page.url.pathname}: ${page.status} ${page.text}`);
    return this.expect(200, 'POST', `/v1/connect-sessions/${session}/redeem`, { receipt, user: 'u-alice' });
  }

  token(connection) {
    return this.expect(200, 'GET', `/v1/connections/${connection}/token`);
  }

  /** Salesforce answered 401 to the token with this fingerprint. */
  tokenAfter(rejected, connection) {
    return this.expect(200, 'POST', `/v1/connections/${connection}/token`, { rejected });
  }
}
