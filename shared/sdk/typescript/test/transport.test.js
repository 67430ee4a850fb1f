import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { inspect } from 'node:util';

import {
  Latchkey,
  ProblemError,
  ReauthorizationNeededError,
  TimeoutError,
  UnexpectedAnswerError,
  UnreachableError,
  UsageError,
} from 'latchkey-sdk';

import { json, problem, serve, stopAll } from './lib/servers.js';

const KEY = 'lk_a-very-secret-key';
const WISH = { user: 'u-1', customer: { id: 'c-1', name: 'Acme' } };
const SESSION = { id: 'cs_1', status: 'created', connect_url: 'https://connect.example/connect/secret-link' };
const CONNECTION = { id: 'con_1', state: 'active' };

afterEach(stopAll);

const client = (server, options = {}) => new Latchkey({ url: server.origin, apiKey: KEY, ...options });

test('a call carries the key, and its answer is the JSON', async () => {
  const server = await serve((_, response) => json(response, 200, { ...CONNECTION, unknown: 'member' }));
  assert.deepEqual(await client(server).connections.get('con_1'), { ...CONNECTION, unknown: 'member' });
  assert.equal(server.asked[0].path, '/v1/connections/con_1');
  assert.equal(server.asked[0].headers.authorization, `Bearer ${KEY}`);
});

test('503 and 429 are retried after Retry-After, with one idempotency key', async () => {
  const server = await serve((_, response, __, count) => {
    if (count === 1) return problem(response, 503, 'unavailable', {}, { 'retry-after': '1' });
    if (count === 2) return json(response, 429, { message: 'Too Many Requests' });
    return json(response, 201, SESSION);
  });
  const began = Date.now();
  assert.equal((await client(server).connectSessions.create(WISH)).id, 'cs_1');
  assert.ok(Date.now() - began >= 1000, 'Retry-After is kept to');
  const keys = new Set(server.asked.map(({ headers }) => headers['idempotency-key']));
  assert.equal(server.asked.length, 3);
  assert.equal(keys.size, 1);
  assert.match([...keys][0], /^[\x21-\x7e]{1,255}$/);
});

test('retries end, and the problem says how long to wait', async () => {
  const server = await serve((_, response) => json(response, 429, { message: 'Too Many Requests' }));
  const call = client(server, { maxRetries: 1 }).connections.list();
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof ProblemError);
    assert.deepEqual([error.status, error.type, error.actor], [429, undefined, 'wait']);
    return true;
  });
  assert.equal(server.asked.length, 2);
});

test('a wait that is too long is left to the caller', async () => {
  const answer = { cause: 'org_busy', reference: 'LK-1234-5678', help_url: 'https://connect.example/help/fl_1' };
  const server = await serve((_, response) => problem(response, 503, 'token-not-ready', answer, { 'retry-after': '120' }));
  await assert.rejects(client(server).tokens.get('con_1'), (error) => {
    assert.equal(error.type, 'token-not-ready');
    assert.equal(error.retryAfter, 120);
    assert.equal(error.cause, 'org_busy');
    assert.equal(error.helpUrl, answer.help_url);
    assert.equal(error.reference, 'LK-1234-5678');
    assert.equal(error.actor, 'wait');
    return true;
  });
  assert.equal(server.asked.length, 1);
});

for (const [status, type] of [[400, 'bad-request'], [401, 'unauthorized'], [404, 'not-found'], [409, 'receipt-used'], [429, 'too-many-reports'], [500, 'x']]) {
  test(`${status} ${type} is not retried`, async () => {
    const server = await serve((_, response) => problem(response, status, type, {}, { 'retry-after': '0' }));
    const call = client(server).connections.reportFailure('con_1', { code: 'X' });
    await assert.rejects(call, { name: 'ProblemError', status, type });
    assert.equal(server.asked.length, 1);
  });
}

test('a call whose repeat may do harm is not retried after a lost answer', async () => {
  const server = await serve((request) => request.socket.destroy());
  await assert.rejects(client(server).events.sendTest(), UnreachableError);
  await assert.rejects(client(server).opsLinks.create(), UnreachableError);
  assert.equal(server.asked.length, 2);
});

test('a redeem whose answer was lost is sent again', async () => {
  const server = await serve((request, response, _, count) => {
    if (count === 1) return request.socket.destroy();
    return json(response, 200, CONNECTION);
  });
  const connection = await client(server).connectSessions.redeem('cs_1', { receipt: 'r', user: 'u-1' });
  assert.equal(connection.id, 'con_1');
  assert.equal(server.asked.length, 2);
});

test('a return is redeemed only by the browser that has the session', async () => {
  const server = await serve((_, response) => json(response, 200, CONNECTION));
  const { connectSessions } = client(server);
  const user = 'u-1';
  for (const address of ['/return', '/return?connect_session=cs_1', '/return?receipt=r', '/return?connect_session=cs_2&receipt=r', 'https://app.example/return?connect_session=&receipt=']) {
    assert.equal(await connectSessions.redeemReturn(address, { session: 'cs_1', user }), undefined);
    assert.equal(await connectSessions.redeemReturn(address, { session: undefined, user }), undefined);
  }
  assert.equal(server.asked.length, 0);
  const address = new URL('https://app.example/return?connect_session=cs_1&receipt=r%2B1');
  assert.equal((await connectSessions.redeemReturn(address, { session: 'cs_1', user })).id, 'con_1');
  assert.deepEqual([server.asked[0].path, server.asked[0].body], ['/v1/connect-sessions/cs_1/redeem', '{"receipt":"r+1","user":"u-1"}']);
});

test('a deleted connection stays deleted if the first answer was lost', async () => {
  const server = await serve((request, response, _, count) => {
    if (count === 1) return request.socket.destroy();
    return problem(response, 404, 'not-found');
  });
  assert.equal(await client(server).connections.delete('con_1'), 'deleted');
  const gone = await serve((_, response) => problem(response, 404, 'not-found'));
  await assert.rejects(client(gone).connections.delete('con_1'), { type: 'not-found' });
  const later = await serve((_, response) => response.writeHead(202).end());
  assert.equal(await client(later).connections.delete('con_1'), 'revoking');
});

test('an import that is under way is sent again after Retry-After', async () => {
  const server = await serve((_, response, __, count) =>
    count === 1
      ? problem(response, 409, 'import-under-way', {}, { 'retry-after': '0' })
      : json(response, 200, { ...CONNECTION, rotated: true, renewed: false, same_as: [] }),
  );
  const call = { refresh_token: 'r'.repeat(40), user: 'u', customer: { id: 'c' }, environment: 'production' };
  assert.equal((await client(server).connections.import(call)).rotated, true);
});

test('slow answers end with the attempt, the call or the caller', async () => {
  const server = await serve(() => new Promise(() => undefined));
  const slow = client(server, { attemptTimeoutMs: 300, maxRetries: 1 });
  await assert.rejects(slow.connections.get('con_1'), TimeoutError);
  assert.equal(server.asked.length, 2);
  await assert.rejects(client(server).connections.get('con_1', { timeoutMs: 50 }), TimeoutError);
  const signal = AbortSignal.timeout(50);
  await assert.rejects(client(server).connections.get('con_1', { signal }), { name: 'TimeoutError', code: 23 });
});

test('a body that never ends is a timeout', async () => {
  const server = await serve((_, response) => response.writeHead(200).write('{"id":'));
  await assert.rejects(client(server).connections.get('con_1', { timeoutMs: 100 }), TimeoutError);
});

for (const [name, text] of [['HTML', '<h1>hello</h1>'], ['a list', '[]'], ['null', 'null'], ['nothing', ''], ['no id', '{}'], ['an id of another type', '{"id": 5}']]) {
  test(`${name} in place of the answer is an error of its own`, async () => {
    const server = await serve((_, response) => response.writeHead(200).end(text));
    await assert.rejects(client(server).connections.get('con_1'), UnexpectedAnswerError);
    await assert.rejects(client(server).tokens.get('con_1'), UnexpectedAnswerError);
    await assert.rejects(client(server).connections.list(), UnexpectedAnswerError);
    await assert.rejects(client(server).events.list(), UnexpectedAnswerError);
  });
}

for (const text of ['<h1>Bad Gateway</h1>', '[1]', '{"type": 5, "title": null}', '{"type": "x"}', '']) {
  test(`an error answer of ${text || 'nothing'} is a problem without a type`, async () => {
    const server = await serve((_, response) => response.writeHead(500).end(text));
    await assert.rejects(client(server).connections.get('con_1'), { name: 'ProblemError', status: 500, type: undefined });
  });
}

test('members of a problem that have another type are left out', async () => {
  const odd = { detail: 7, cause: ['x'], help_url: null, reconnect: 'POST', incident: [] };
  const server = await serve((_, response) => problem(response, 409, 'reauthorization-needed', odd));
  await assert.rejects(client(server).connections.get('con_1'), (error) => {
    assert.ok(!(error instanceof ReauthorizationNeededError));
    assert.deepEqual([error.detail, error.cause, error.helpUrl, error.incident], Array(4).fill(undefined));
    return true;
  });
});

test('a connection that has to be authorized again brings the call for it', async () => {
  const reconnect = { method: 'POST', path: '/v1/connect-sessions', body: { connection_id: 'con_1', user: 'u-1' } };
  const server = await serve((request, response, body) => {
    if (request.method === 'GET') return problem(response, 409, 'reauthorization-needed', { cause: 'revoked', reconnect });
    assert.deepEqual(JSON.parse(body), reconnect.body);
    return json(response, 201, SESSION);
  });
  const latchkey = client(server);
  const error = await latchkey.tokens.get('con_1').catch((caught) => caught);
  assert.ok(error instanceof ReauthorizationNeededError);
  assert.deepEqual([error.actor, error.cause], ['end_user', 'revoked']);
  assert.equal((await latchkey.connectSessions.create(error.reconnect.body)).connect_url, SESSION.connect_url);
});

test('the key follows no redirect', async () => {
  const other = await serve((_, response) => json(response, 200, CONNECTION));
  for (const status of [301, 302, 303, 307, 308]) {
    const server = await serve((_, response) => response.writeHead(status, { location: other.origin }).end());
    await assert.rejects(client(server).connections.get('con_1'), UnexpectedAnswerError);
  }
  assert.equal(other.asked.length, 0);
});

test('the key is sent over https alone, except on this machine', () => {
  for (const url of ['http://connect.example', 'ftp://connect.example', 'connect.example', 'http://localhost.evil.example', 'https://user:password@connect.example']) {
    assert.throws(() => new Latchkey({ url, apiKey: KEY }), UsageError);
  }
  for (const url of ['https://connect.example', 'http://latchkey.localhost:7400', 'http://127.0.0.1:7400', 'http://[::1]:7400']) {
    assert.ok(new Latchkey({ url, apiKey: KEY }));
  }
  assert.throws(() => new Latchkey({ url: 'https://connect.example' }), UsageError);
  assert.throws(() => new Latchkey({ url: 'https://connect.example', apiKey: `${KEY}\n` }), (error) => {
    assert.ok(!inspect(error).includes(KEY));
    return error instanceof UsageError;
  });
});

test('an id cannot lead to another call', async () => {
  const server = await serve((_, response) => json(response, 200, CONNECTION));
  const latchkey = client(server);
  for (const id of ['', '..', '.', 'a/b', 'a?b', 'a#b', '%2e%2e', 'a b', undefined, null, {}]) {
    await assert.rejects(async () => latchkey.connections.get(id), `${id}`);
    await assert.rejects(async () => latchkey.tokens.get(id), `${id}`);
  }
  assert.equal(server.asked.length, 0);
});

test('nothing secret is printed', async () => {
  const server = await serve((request, response) => {
    if (request.url.includes('token')) {
      return json(response, 200, { access_token: 'secret-access-token', instance_url: 'https://acme.example', fingerprint: 'f', expires_at: '2030-01-01T00:00:00Z' });
    }
    return request.method === 'POST' ? json(response, 201, SESSION) : json(response, 500, {});
  });
  const latchkey = client(server);
  const token = await latchkey.tokens.get('con_1');
  const session = await latchkey.connectSessions.create(WISH);
  const error = await latchkey.connections.get('con_1').catch((caught) => caught);
  const printed = inspect([latchkey, token, session, error], { depth: 9, showHidden: false }) + JSON.stringify([latchkey, token, error]);
  for (const secret of [KEY, 'secret-access-token']) assert.ok(!printed.includes(secret));
  assert.ok(!inspect(session).includes('secret-link'));
  assert.equal(token.access_token, 'secret-access-token');
  assert.equal(JSON.parse(JSON.stringify(session)).connect_url, SESSION.connect_url);
});

test('errors of a network name no address and no key', async () => {
  const server = await serve(() => undefined);
  server.stop();
  const error = await client(server, { maxRetries: 0 }).connections.get('con_1').catch((caught) => caught);
  assert.ok(error instanceof UnreachableError);
  assert.equal(error.code, 'ECONNREFUSED');
  assert.ok(!inspect(error, { depth: 9 }).includes(KEY));
});
