// The TypeScript SDK (shared/sdk/typescript) against the local stack, and its example as it stands.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { after, before, beforeEach, test } from 'node:test';

import jsforce from 'jsforce';

import { jsforceOptions } from '../../../shared/sdk/typescript/dist/jsforce.js';
import { Latchkey as Client, ProblemError, ReauthorizationNeededError } from '../../../shared/sdk/typescript/dist/index.js';
import { Browser } from '../lib/browser.js';
import { Latchkey, syncApp } from '../lib/latchkey.js';
import { World } from '../lib/world.js';

const CALLERS = 50;
const ACCOUNTS = '/services/data/v62.0/query?q=SELECT+Name+FROM+Account+ORDER+BY+Name';
const NAMES = ['Acme Corporation Headquarters', 'Initech', 'Umbrella Logistics'];
const ROOT = new URL('../../../', import.meta.url);

let folder;
let example;
let stack;
let world;
let app;
let sdk;
let connection;

/** A port that nobody listens on. */
async function freePort() {
  const server = createServer();
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'latchkey-sdk-stack-'));
  example = `http://localhost:${await freePort()}/salesforce/return`;
  const file = await readFile(new URL('infra/products/fernway.toml', ROOT), 'utf8');
  await mkdir(join(folder, 'products'));
  await writeFile(join(folder, 'products/fernway.toml'), file.replace(/return_addresses = .*/, `return_addresses = ["${example}"]`));
  stack = await Latchkey.startQuietly('--products', join(folder, 'products'));
  world = new World(stack.salesforce);
  app = (await syncApp()).consumerKey;
  await world.install('acme', app);
});

after(async () => {
  await stack?.stop();
  await rm(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  sdk = new Client({ url: stack.origin, apiKey: stack.apiKey });
  connection = await connect({ another: true });
  await world.forgetCalls();
});

/** A user connects Acme as uma, and the product redeems what the browser brought. */
async function connect(more) {
  const customer = { id: 'c-acme', name: 'Acme Corporation' };
  const wish = { app: 'sync', customer, user: 'u-alice', return_to: stack.returnTo, ...more };
  const session = await sdk.connectSessions.create(wish);
  const page = await approve(session.connect_url, stack.returnTo);
  const connected = await sdk.connectSessions.redeemReturn(page.url, { session: session.id, user: 'u-alice' });
  assert.equal((await sdk.connectSessions.get(session.id)).status, 'connected');
  return connected;
}

async function approve(link, stopBefore) {
  const browser = new Browser({ stopBefore });
  const page = await browser.get(link);
  const login = await page.press('Continue to Salesforce', { host: 'production' });
  const next = await login.press('uma@acme.example');
  // Salesforce asks for consent once.
  return next.stopped || !next.text.includes('Allow') ? next : next.press('Allow');
}

const accounts = async (client = sdk) =>
  client.withSalesforce(connection, async (fetch) => {
    const answer = await fetch(ACCOUNTS);
    assert.equal(answer.status, 200);
    return (await answer.json()).records.map(({ Name }) => Name);
  });

test('records come with the brokered token; after a 401 they come again, with one refresh', async () => {
  assert.deepEqual(await accounts(), NAMES);
  assert.equal(await world.refreshes(), 0);
  await world.expireAccessTokens();
  assert.deepEqual(await accounts(), NAMES);
  assert.deepEqual(await accounts(), NAMES);
  assert.equal(await world.refreshes(), 1);
});

test('fifty parallel callers of several processes cause one refresh', async () => {
  const clients = Array.from({ length: 5 }, () => new Client({ url: stack.origin, apiKey: stack.apiKey }));
  for (const client of clients) await accounts(client);
  await world.expireAccessTokens();
  const work = Array.from({ length: CALLERS }, (_, caller) => accounts(clients[caller % clients.length]));
  for (const names of await Promise.all(work)) assert.deepEqual(names, NAMES);
  assert.equal(await world.refreshes(), 1);
});

test('jsforce works with its options, also after a 401', async () => {
  const org = new jsforce.Connection(await jsforceOptions(sdk, connection));
  const names = async () => (await org.query('SELECT Name FROM Account ORDER BY Name')).records.map(({ Name }) => Name);
  assert.deepEqual(await names(), NAMES);
  await world.expireAccessTokens();
  assert.deepEqual(await names(), NAMES);
  assert.equal(await world.refreshes(), 1);
});

test('a refresh that Salesforce refuses for the moment is waited for', async () => {
  await accounts();
  await world.expireAccessTokens();
  await world.misbehave('refresh', 'oauth-temporarily-unavailable-503', 1);
  const names = await accounts();
  assert.deepEqual(names, NAMES);
});

test('every call of the API answers as its type says', async () => {
  const shown = await sdk.connections.get(connection);
  assert.deepEqual([shown.id, shown.state, shown.username], [connection.id, 'active', 'uma@acme.example']);
  await connect({ another: true });
  const listed = [];
  for await (const { id } of sdk.connections.iterate({ customer: 'c-acme', limit: 1 })) listed.push(id);
  assert.ok(listed.length >= 2 && listed.includes(connection.id));
  assert.equal(new Set(listed).size, listed.length);

  const check = await sdk.connections.check(connection);
  assert.deepEqual([check.ok, check.connection_id], [true, connection.id]);
  const report = await sdk.connections.reportFailure(connection, { code: 'API_DISABLED_FOR_ORG', http_status: 403 });
  assert.ok(report.help_url && report.cause && report.next);
  const failures = [];
  for await (const failure of sdk.failures.iterate({ customer: 'c-acme', limit: 1 })) failures.push(failure.id);
  assert.ok(failures.includes(report.id));
  assert.ok(Array.isArray((await sdk.failures.summarize({ by: 'cause' })).failures));
  assert.match((await sdk.opsLinks.create()).url, /^http/);
  await assert.rejects(sdk.connections.list({ custmer: 'c-acme' }), (error) => {
    assert.equal(error.type, 'bad-request');
    assert.equal(error.problem.parameter, 'custmer');
    return true;
  });
});

test('the feed tells what happened, and an event is sent again', async () => {
  const test = await sdk.events.sendTest();
  let found;
  for (let end = Date.now() + 30_000; !found && Date.now() < end; await setTimeout(500)) {
    found = await sdk.events.get(test.id).catch(() => undefined);
  }
  assert.equal(found.type, 'webhook.test');
  assert.equal((await sdk.events.redeliver(test.id)).id, test.id);
  await world.pass(20);
  const types = new Set();
  for await (const page of sdk.events.pages({ limit: 2 })) for (const event of page.events) types.add(event.type);
  assert.ok(types.has('connection.created') && types.has('session.connected'));
});

test('a revoked grant asks for the user, whose reconnect is the call that the problem names', async () => {
  await accounts();
  await world.revokeGrants('acme', 'uma@acme.example');
  const error = await accounts().catch((caught) => caught);
  assert.ok(error instanceof ReauthorizationNeededError, String(error));
  assert.equal(error.actor, 'end_user');
  assert.match(error.helpUrl, /\/help\//);
  const again = await connect(error.reconnect.body);
  assert.equal(again.id, connection.id);
  assert.equal(again.reconnected.identity_changed, false);
  assert.deepEqual(await accounts(), NAMES);
});

test('an app that admins have to approve is for the admin', async () => {
  await accounts();
  await world.expireAccessTokens();
  await world.setPolicies('acme', app, { admin_approved: true });
  try {
    const error = await accounts().catch((caught) => caught);
    assert.ok(error instanceof ProblemError, String(error));
    assert.deepEqual([error.type, error.actor], ['blocked-by-org', 'admin']);
  } finally {
    await world.setPolicies('acme', app, { admin_approved: false });
  }
});

test('a deleted connection gives no token', async () => {
  await accounts();
  assert.equal(await sdk.connections.delete(connection), 'deleted');
  await assert.rejects(accounts(), { type: 'not-found', status: 404 });
});

test('the example shows records on screen', async () => {
  const path = fileURLToPath(new URL('shared/sdk/typescript/examples/records.js', ROOT));
  const resolver = new URL('shared/sdk/typescript/dist/localhost.js', ROOT).href;
  const env = { ...process.env, LATCHKEY_URL: stack.origin, LATCHKEY_API_KEY: stack.apiKey };
  const server = spawn('node', ['--import', resolver, path, example], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  try {
    for (let isUp = false; !isUp; await setTimeout(50)) {
      assert.equal(server.exitCode, null, 'the example runs');
      isUp = await fetch(example, { redirect: 'manual' }).then(() => true, () => false);
    }
    const page = await approve(new URL('/', example));
    for (const name of NAMES) assert.ok(page.text.includes(name), page.text);
    // What another browser brings is not redeemed: it is sent to connect.
    const stolen = await fetch(page.url, { redirect: 'manual' });
    assert.equal(stolen.status, 303);
  } finally {
    server.kill();
  }
});
