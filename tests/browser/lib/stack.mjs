// `target/debug/local`: the functions, the table, Salesforce and the example product. Each story has its own, on
// any free ports, and ends it, by its process id, when the story is over.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const LOCAL = fileURLToPath(new URL('../../../target/debug/local', import.meta.url));
const ANY_PORTS = ['--port', '0', '--product-port', '0', '--salesforce-port', '0'];

/** Seconds after which a stack ends by itself, should its story die without ending it. */
const AT_MOST = '240';

export class Stack {
  static async start() {
    const running = spawn(LOCAL, ['--json', ...ANY_PORTS, '--stop-after', AT_MOST], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const logs = [];
    const addresses = await new Promise((found, failed) => {
      running.once('error', failed);
      running.once('exit', (code) => failed(new Error(`the stack ended with ${code}: ${logs.join('\n')}`)));
      createInterface(running.stdout).on('line', (line) => {
        const told = JSON.parse(line);
        if (told.latchkey) found(told);
        else logs.push(line);
      });
    });
    return Object.assign(new Stack(), { running, logs, ...addresses });
  }

  get salesforcePort() {
    return /:(\d+)$/.exec(this.salesforce)[1];
  }

  async stop() {
    const ended = new Promise((done) => this.running.once('exit', done));
    this.running.kill('SIGINT');
    await ended;
  }

  /** Fernway's backend calls Latchkey. */
  async call(path) {
    const answer = await fetch(this.latchkey + path, {
      headers: { authorization: `Bearer ${this.api_keys.fernway}` },
    });
    return answer.json();
  }

  /** What only a test can do to Salesforce: tests/world/src/salesforce/http/control.rs. */
  async world(control, body) {
    const site = `http://salesforce.localhost:${this.salesforcePort}`;
    const answer = await fetch(`${site}/_world/${control}`, { method: 'POST', body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${control}: ${await answer.text()}`);
  }
}
