import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';

import { Latchkey, UnexpectedAnswerError } from 'latchkey-sdk';

import { json, serve, stopAll } from './lib/servers.js';

afterEach(stopAll);

const client = (server) => new Latchkey({ url: server.origin, apiKey: 'lk_key' });
const query = ({ path }) => Object.fromEntries(new URL(path, 'http://x').searchParams);

test('connections and failures are followed to the last page, with the same filters', async () => {
  const pages = { undefined: ['a', 'p2'], p2: [undefined, 'p3'], p3: ['b', undefined] };
  const server = await serve((request, response) => {
    const [id, next] = pages[query({ path: request.url }).after];
    const items = id ? [{ id }] : [];
    json(response, 200, { connections: items, failures: items, next });
  });
  assert.deepEqual(await collect(client(server).connections.iterate({ customer: 'c-1', limit: 1 })), ['a', 'b']);
  assert.deepEqual(server.asked.map(query), [
    { customer: 'c-1', limit: '1' },
    { customer: 'c-1', limit: '1', after: 'p2' },
    { customer: 'c-1', limit: '1', after: 'p3' },
  ]);
  assert.deepEqual(await collect(client(server).failures.iterate({ resolved: false })), ['a', 'b']);
  assert.deepEqual(query(server.asked[3]), { resolved: 'false' });
});

async function collect(found) {
  const ids = [];
  for await (const { id } of found) ids.push(id);
  return ids;
}

test('a list that never goes on ends with an error', async () => {
  const server = await serve((_, response) => json(response, 200, { connections: [], events: [], next: 'same', has_more: true }));
  const all = async (pages) => {
    for await (const _ of pages) assert.ok(server.asked.length < 5);
  };
  await assert.rejects(all(client(server).connections.iterate()), UnexpectedAnswerError);
  await assert.rejects(all(client(server).events.pages()), UnexpectedAnswerError);
});

test('the feed is read until nothing is left, and says where to go on', async () => {
  const server = await serve((request, response) => {
    const { after } = query({ path: request.url });
    const isLast = after === 'n2';
    json(response, 200, { events: isLast ? [] : [{ id: `evt_${after}` }], next: isLast ? 'n3' : after === 'n1' ? 'n2' : 'n1', has_more: !isLast });
  });
  const seen = [];
  for await (const page of client(server).events.pages({ after: 'n0', types: ['connection.blocked', 'session.failed'] })) {
    seen.push(page.next);
  }
  assert.deepEqual(seen, ['n1', 'n2', 'n3']);
  assert.deepEqual(query(server.asked[0]), { after: 'n0', types: 'connection.blocked,session.failed' });
});

test('an event is sent again, to one endpoint', async () => {
  const server = await serve((_, response) => json(response, 202, { id: 'evt_1', deliveries: [] }));
  await client(server).events.redeliver('evt_1', { endpoint: 'backend' });
  assert.deepEqual([server.asked[0].path, server.asked[0].body], ['/v1/events/evt_1/redeliver', '{"endpoint":"backend"}']);
});
