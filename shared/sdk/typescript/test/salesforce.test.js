import assert from 'node:assert/strict';
import { afterEach, mock, test } from 'node:test';

import { Latchkey, OtherOriginError, ProblemError, TimeoutError } from 'latchkey-sdk';
import { jsforceOptions } from 'latchkey-sdk/jsforce';

import { json, latchkeyOf, problem, serve, stopAll, token } from './lib/servers.js';

const CALLERS = 50;
const tokenOf = (request) => request.headers.authorization;

afterEach(() => {
  stopAll();
  mock.restoreAll();
  mock.timers.reset();
});

const client = (server, options = {}) => new Latchkey({ url: server.origin, apiKey: 'lk_key', ...options });

/** A Salesforce that answers 401 to each token but that with this number, and echoes other requests. */
const orgThatAccepts = (accepted) =>
  serve((request, response, body) => {
    if (tokenOf(request) !== `Bearer secret-token-${accepted()}`) {
      return json(response, 401, [{ errorCode: 'INVALID_SESSION_ID', message: 'Session expired or invalid' }]);
    }
    return json(response, 200, { method: request.method, path: request.url, body, type: request.headers['content-type'] });
  });

test('paths are relative to the instance, and carry the token', async () => {
  const org = await orgThatAccepts(() => 1);
  const latchkey = client(await latchkeyOf(() => org.origin));
  await latchkey.withSalesforce({ id: 'con_1' }, async (fetch, { instance_url, connection_id }) => {
    assert.deepEqual([instance_url, connection_id], [org.origin, 'con_1']);
    for (const address of ['/a?q=1#x', `${org.origin}/a?q=1`, new URL('/a?q=1', org.origin), new Request(`${org.origin}/a?q=1`)]) {
      assert.equal((await (await fetch(address)).json()).path, '/a?q=1');
    }
    const headers = { 'content-type': 'application/json', authorization: 'Bearer of-somebody-else' };
    const posted = await (await fetch('/b', { method: 'POST', body: '{"x":1}', headers })).json();
    assert.deepEqual(posted, { method: 'POST', path: '/b', body: '{"x":1}', type: 'application/json' });
  });
});

test('a 401 is reported by fingerprint, and repeats that one request', async () => {
  const org = await orgThatAccepts(() => 2);
  const server = await latchkeyOf(() => org.origin);
  let ran = 0;
  const result = await client(server).withSalesforce('con_1', async (fetch) => {
    ran += 1;
    const first = await (await fetch('/write', { method: 'POST', body: new TextEncoder().encode('once') })).json();
    const second = await (await fetch(new Request(`${org.origin}/again`, { method: 'PUT', body: 'two' }))).json();
    return [first.body, second.body];
  });
  assert.deepEqual(result, ['once', 'two']);
  assert.equal(ran, 1);
  assert.deepEqual(server.state.reports, ['print-1']);
  assert.deepEqual(org.asked.map(({ path }) => path), ['/write', '/write', '/again']);
});

test('fifty callers with a 401 cause one report', async () => {
  const org = await orgThatAccepts(() => 2);
  const server = await latchkeyOf(() => org.origin, { delayMs: 20 });
  const latchkey = client(server);
  const work = () => latchkey.withSalesforce('con_1', async (fetch) => (await fetch('/x')).status);
  const statuses = await Promise.all(Array.from({ length: CALLERS }, work));
  assert.deepEqual(new Set(statuses), new Set([200]));
  assert.deepEqual(server.state.reports, ['print-1']);
  assert.equal(server.asked.length, 2, 'one call for the token, one for its successor');
  assert.equal(org.asked.length, 2 * CALLERS);
});

test('a 401 storm ends: each request is sent twice at most, and Latchkey says why', async () => {
  const org = await orgThatAccepts(() => 'none');
  const server = await serve((request, response, body) => {
    const { rejected } = body ? JSON.parse(body) : {};
    if (rejected === 'print-2') return problem(response, 409, 'tokens-rejected', { cause: 'ip_restricted', help_url: 'https://help' });
    return json(response, 200, token(org.origin, rejected ? 2 : 1));
  });
  const latchkey = client(server);
  const work = () => latchkey.withSalesforce('con_1', (fetch) => fetch('/x'));
  const ended = await Promise.allSettled(Array.from({ length: CALLERS }, work));
  for (const { reason } of ended) {
    assert.ok(reason instanceof ProblemError);
    assert.deepEqual([reason.type, reason.cause, reason.helpUrl], ['tokens-rejected', 'ip_restricted', 'https://help']);
  }
  assert.ok(org.asked.length <= 2 * CALLERS);
  assert.equal(server.asked.length, 3);
});

test('if Latchkey has a third token, the second 401 is the answer', async () => {
  const org = await orgThatAccepts(() => 'none');
  const server = await latchkeyOf(() => org.origin);
  const answer = await client(server).withSalesforce('con_1', (fetch) => fetch('/x'));
  assert.equal(answer.status, 401);
  assert.deepEqual(server.state.reports, ['print-1', 'print-2']);
  assert.equal(org.asked.length, 2);
});

test('a rejected token whose report failed is reported by the next caller', async () => {
  const org = await orgThatAccepts(() => 2);
  let isAway = true;
  const reports = [];
  const server = await serve((request, response, body) => {
    const { rejected } = body ? JSON.parse(body) : {};
    if (rejected) reports.push(rejected);
    if (rejected && isAway) return problem(response, 409, 'vendor-incident');
    return json(response, 200, token(org.origin, rejected ? 2 : 1));
  });
  const latchkey = client(server);
  await assert.rejects(latchkey.withSalesforce('con_1', (fetch) => fetch('/x')), { type: 'vendor-incident', actor: 'vendor' });
  isAway = false;
  await assert.rejects(latchkey.withSalesforce('con_1', (fetch) => fetch('/x')), { type: 'vendor-incident' });
  assert.equal(server.asked.length, 2, 'for a second, the refusal is shared');
  const now = performance.now();
  mock.method(performance, 'now', () => now + 1000);
  assert.equal((await latchkey.withSalesforce('con_1', (fetch) => fetch('/x'))).status, 200);
  assert.deepEqual(reports, ['print-1', 'print-1']);
});

test('a stream cannot be repeated: its 401 is the answer, and the next request has a new token', async () => {
  const org = await orgThatAccepts(() => 2);
  const server = await latchkeyOf(() => org.origin);
  await client(server).withSalesforce('con_1', async (fetch) => {
    const body = () => new Blob(['streamed']).stream();
    assert.equal((await fetch('/x', { method: 'POST', body: body() })).status, 401);
    assert.equal((await (await fetch('/x', { method: 'POST', body: body() })).json()).body, 'streamed');
  });
  assert.deepEqual(server.state.reports, ['print-1']);
});

test('other answers are not repeated', async () => {
  for (const status of [400, 403, 404, 429, 500, 503]) {
    const org = await serve((_, response) => json(response, status, []));
    const server = await latchkeyOf(() => org.origin);
    const answer = await client(server).withSalesforce('con_1', (fetch) => fetch('/x'));
    assert.equal(answer.status, status);
    assert.equal(org.asked.length, 1);
    assert.deepEqual(server.state.reports, []);
  }
});

test('no other origin gets anything', async () => {
  const other = await serve((_, response) => json(response, 200, {}));
  const org = await orgThatAccepts(() => 1);
  const latchkey = client(await latchkeyOf(() => org.origin));
  await latchkey.withSalesforce('con_1', async (fetch) => {
    const host = new URL(other.origin).host;
    const addresses = [`${other.origin}/x`, `//${host}/x`, `\\\\${host}\\x`, org.origin.replace('http', 'https'), `http://user@${host}/`, 'data:,x', 'file:///etc/passwd'];
    for (const address of addresses) await assert.rejects(fetch(address), OtherOriginError, address);
    await assert.rejects(fetch(new Request(`${other.origin}/x`)), OtherOriginError);
  });
  assert.equal(other.asked.length + org.asked.length, 0);
});

test('a redirect to another origin is the answer; one within the org is followed', async () => {
  const other = await serve((_, response) => json(response, 200, {}));
  const targets = { '/away': `${other.origin}/x`, '/script': 'javascript:alert(1)', '/odd': 'http://[', '/here': '/end' };
  const org = await serve((request, response, body) => {
    const location = targets[request.url];
    const status = Number(request.headers['x-status'] ?? 302);
    if (location) return response.writeHead(status, { location }).end();
    return json(response, 200, { method: request.method, body, token: tokenOf(request) });
  });
  const latchkey = client(await latchkeyOf(() => org.origin));
  await latchkey.withSalesforce('con_1', async (fetch) => {
    for (const path of ['/away', '/script', '/odd']) {
      assert.equal((await fetch(path)).status, 302);
      assert.equal((await fetch(path, { method: 'POST', body: 'x', headers: { 'x-status': '307' } })).status, 307);
    }
    const send = async (status) => (await fetch('/here', { method: 'POST', body: 'x', headers: { 'x-status': status } })).json();
    assert.deepEqual(await send('303'), { method: 'GET', body: '', token: 'Bearer secret-token-1' });
    assert.deepEqual(await send('308'), { method: 'POST', body: 'x', token: 'Bearer secret-token-1' });
    assert.equal((await fetch('/here', { redirect: 'manual' })).status, 302);
  });
  assert.equal(other.asked.length, 0);
});

test('redirects that never end are an answer', async () => {
  const org = await serve((_, response) => response.writeHead(302, { location: '/x' }).end());
  const latchkey = client(await latchkeyOf(() => org.origin));
  assert.equal((await latchkey.withSalesforce('con_1', (fetch) => fetch('/x'))).status, 302);
  assert.equal(org.asked.length, 6);
});

test('an org that has moved is called at its new address', async () => {
  const before = await orgThatAccepts(() => 'none');
  const after = await orgThatAccepts(() => 2);
  const server = await serve((_, response, body) => json(response, 200, body ? token(after.origin, 2) : token(before.origin, 1)));
  await client(server).withSalesforce('con_1', async (fetch) => {
    assert.equal((await (await fetch(`${before.origin}/x?y`)).json()).path, '/x?y');
    assert.equal((await fetch(`${after.origin}/z`)).status, 200);
  });
  assert.deepEqual([before.asked.length, after.asked.length], [1, 2]);
});

test('a token is sent over https alone, except on this machine', async () => {
  for (const instance of ['http://acme.my.salesforce.com', 'javascript:alert(1)', 'not an address']) {
    const latchkey = client(await latchkeyOf(() => instance));
    await assert.rejects(latchkey.withSalesforce('con_1', () => assert.fail('it ran')));
  }
});

test('a token is used for a minute at most', async () => {
  const org = await orgThatAccepts(() => 1);
  const server = await latchkeyOf(() => org.origin);
  const latchkey = client(server);
  let now = 1000;
  mock.method(performance, 'now', () => now);
  const call = () => latchkey.withSalesforce('con_1', (fetch) => fetch('/x'));
  await call();
  now += 59_999;
  await call();
  assert.equal(server.asked.length, 1);
  now += 1;
  await call();
  assert.equal(server.asked.length, 2);
});

test('a token is never cached beyond its expiry', async () => {
  mock.timers.enable({ apis: ['Date'], now: Date.now() });
  const calls = async (lifetimeMs, ...waits) => {
    const more = { expires_at: new Date(Date.now() + lifetimeMs).toISOString() };
    const server = await latchkeyOf(() => 'https://acme.example', { more });
    const latchkey = client(server);
    await latchkey.tokens.get('con_1');
    for (const wait of waits) {
      mock.timers.tick(wait);
      await latchkey.tokens.get('con_1');
    }
    return server.asked.length;
  };
  assert.equal(await calls(30_000, 0, 29_999), 1);
  assert.equal(await calls(30_000, 29_999, 1), 2);
  assert.equal(await calls(-1000, 0), 2);
  mock.timers.reset();
});

test('a token that has to live longer is asked for', async () => {
  const server = await latchkeyOf(() => 'https://acme.example');
  const latchkey = client(server);
  await latchkey.tokens.get('con_1');
  await latchkey.tokens.get('con_1', { minimumLifetime: 600 });
  assert.equal(server.asked.length, 1);
  await latchkey.tokens.get('con_1', { minimumLifetime: 3600, wait: 15 });
  assert.deepEqual([server.asked[1].path, server.asked[1].body], ['/v1/connections/con_1/token?wait=15', '{"minimum_lifetime":3600}']);
});

test('connections do not share tokens, and a deleted one has none', async () => {
  const server = await serve((request, response) => {
    if (request.method === 'DELETE') return response.writeHead(204).end();
    return json(response, 200, token('https://acme.example', request.url));
  });
  const latchkey = client(server);
  const [one, two] = [await latchkey.tokens.get('con_1'), await latchkey.tokens.get('con_2')];
  assert.notEqual(one.access_token, two.access_token);
  await latchkey.connections.delete({ id: 'con_1' });
  await latchkey.tokens.get('con_1');
  await latchkey.tokens.get('con_2');
  assert.equal(server.asked.length, 4);
});

test('the caller who gives up does not end the call of the others', async () => {
  const server = await latchkeyOf(() => 'https://acme.example', { delayMs: 100 });
  const latchkey = client(server);
  const controller = new AbortController();
  const first = latchkey.tokens.get('con_1', { signal: controller.signal });
  const second = latchkey.tokens.get('con_1');
  controller.abort(new Error('gone'));
  await assert.rejects(first, { message: 'gone' });
  assert.equal((await second).fingerprint, 'print-1');
  assert.equal(server.asked.length, 1);
});

test('a failed call is not kept', async () => {
  const server = await serve((_, response, __, count) =>
    count === 1 ? problem(response, 409, 'blocked-by-org') : json(response, 200, token('https://acme.example', 1)),
  );
  const latchkey = client(server);
  const ended = await Promise.allSettled([latchkey.tokens.get('con_1'), latchkey.tokens.get('con_1')]);
  assert.deepEqual(ended.map(({ reason }) => reason.actor), ['admin', 'admin']);
  assert.equal((await latchkey.tokens.get('con_1')).fingerprint, 'print-1');
  assert.equal(server.asked.length, 2);
});

test('an old answer does not replace a token that was reported meanwhile', async () => {
  const held = [];
  const server = await serve((_, response, body) => {
    if (body) return json(response, 200, token('https://acme.example', 2));
    return held.push(() => json(response, 200, token('https://acme.example', 1)));
  });
  const latchkey = client(server);
  const slow = latchkey.tokens.get('con_1');
  while (held.length === 0) await new Promise((done) => setTimeout(done, 5));
  assert.equal((await latchkey.tokens.replace('con_1', 'print-1')).fingerprint, 'print-2');
  held[0]();
  await slow;
  assert.equal((await latchkey.tokens.get('con_1')).fingerprint, 'print-2');
});

test('a slow Salesforce is a timeout, and the caller can stop a request', async () => {
  const org = await serve(() => undefined);
  const latchkey = client(await latchkeyOf(() => org.origin), { salesforceTimeoutMs: 50 });
  await assert.rejects(latchkey.withSalesforce('con_1', (fetch) => fetch('/x')), TimeoutError);
  const signal = AbortSignal.timeout(20);
  await assert.rejects(latchkey.withSalesforce('con_1', (fetch) => fetch('/x', { signal })), { code: 23 });
  await assert.rejects(latchkey.withSalesforce('con_1', (fetch) => fetch('/x'), { signal: AbortSignal.abort(new Error('no')) }), { message: 'no' });
});

test('a signer makes the headers, and can answer a nonce', async () => {
  const org = await serve((request, response) => {
    if (request.headers.dpop !== `proof GET ${org.origin}/x n1`) {
      return response.writeHead(401, { 'dpop-nonce': 'n1', 'www-authenticate': 'DPoP error="use_dpop_nonce"' }).end();
    }
    return json(response, 200, { token: tokenOf(request) });
  });
  let nonce = 'n0';
  const signer = {
    headers: ({ method, url, token: { access_token } }) => ({ authorization: `DPoP ${access_token}`, dpop: `proof ${method} ${url} ${nonce}` }),
    wantsRepeat(response) {
      const next = response.headers.get('dpop-nonce');
      const isNew = next !== null && next !== nonce;
      nonce = next ?? nonce;
      return isNew;
    },
  };
  const server = await latchkeyOf(() => org.origin);
  const answer = await client(server, { signer }).withSalesforce('con_1', async (fetch) => (await fetch('/x')).json());
  assert.equal(answer.token, 'DPoP secret-token-1');
  assert.deepEqual(server.state.reports, []);
  assert.equal(org.asked.length, 2);
});

test('jsforce asks for the token after the one that was rejected', async () => {
  const server = await latchkeyOf(() => 'https://acme.example');
  const options = await jsforceOptions(client(server), 'con_1');
  const org = { instanceUrl: options.instanceUrl };
  const renew = () => new Promise((done, failed) => options.refreshFn(org, (error, next) => (error ? failed(error) : done(next))));
  assert.equal(options.accessToken, 'secret-token-1');
  assert.equal(await renew(), 'secret-token-2');
  assert.equal(await renew(), 'secret-token-3');
  assert.deepEqual(server.state.reports, ['print-1', 'print-2']);
  server.stop();
  await assert.rejects(renew(), { name: 'UnreachableError' });
});
