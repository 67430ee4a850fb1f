import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterEach, mock, test } from 'node:test';

import { UsageError, verifyWebhook, WebhookReceiver, WebhookVerificationError } from 'latchkey-sdk';

const OLD = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const NEW = `whsec_${Buffer.alloc(32, 9).toString('base64')}`;

afterEach(() => mock.timers.reset());

function delivery(event, { secrets = [OLD], at = Math.floor(Date.now() / 1000) } = {}) {
  const body = JSON.stringify(event);
  const sign = (secret) =>
    createHmac('sha256', Buffer.from(secret.slice(6), 'base64')).update(`${event.id}.${at}.${body}`).digest('base64');
  const signature = secrets.map((secret) => `v1,${sign(secret)}`).join(' ');
  return [{ 'webhook-id': event.id, 'webhook-timestamp': String(at), 'webhook-signature': signature }, body];
}

let count = 0;
function change(sequence, more = {}) {
  count += 1;
  return { id: `evt_${count}`, type: 'connection.blocked', version: 1, timestamp: '2026-11-30T15:04:05Z', data: { product: 'p', connection_id: 'con_1', sequence, ...more } };
}

test('a delivery is accepted with each secret, and during a rotation with either', async () => {
  const event = change(1);
  for (const secrets of [[OLD], [NEW], [OLD, NEW]]) {
    for (const secret of [OLD, NEW, [OLD, NEW], [NEW, OLD]]) {
      const isKnown = secrets.some((signing) => [secret].flat().includes(signing));
      const verified = verifyWebhook(...delivery(event, { secrets }), { secret });
      if (isKnown) assert.deepEqual(await verified, event);
      else await assert.rejects(verified, WebhookVerificationError);
    }
  }
});

test('what Latchkey signs is accepted', async () => {
  const file = new URL('../../../../tests/clients/webhooks/deliveries.json', import.meta.url);
  const deliveries = JSON.parse(await readFile(file, 'utf8')).filter(({ body }) => body !== '{}');
  assert.ok(deliveries.length >= 2);
  for (const { id, timestamp, signature, body, secrets } of deliveries) {
    mock.timers.enable({ apis: ['Date'], now: timestamp * 1000 });
    const headers = new Headers({ 'webhook-id': id, 'webhook-timestamp': `${timestamp}`, 'webhook-signature': signature });
    for (const secret of secrets) {
      assert.deepEqual(await verifyWebhook(headers, body, { secret }), JSON.parse(body));
      assert.deepEqual(await verifyWebhook(headers, new TextEncoder().encode(body), { secret }), JSON.parse(body));
    }
    mock.timers.reset();
  }
});

test('anything that was changed is refused', async () => {
  const [headers, body] = delivery(change(1));
  const refused = (changed, text = body) =>
    assert.rejects(verifyWebhook({ ...headers, ...changed }, text, { secret: OLD }), WebhookVerificationError);
  await refused({}, `${body} `);
  await refused({ 'webhook-id': 'evt_other' });
  await refused({ 'webhook-timestamp': String(Number(headers['webhook-timestamp']) + 1) });
  for (const signature of ['', 'v1,', 'v1,AAAA', 'v1,%%%', headers['webhook-signature'].slice(3), headers['webhook-signature'].replace('v1', 'v2'), `v1,${randomBytes(32).toString('base64')}`]) {
    await refused({ 'webhook-signature': signature });
  }
  for (const name of Object.keys(headers)) {
    await refused({ [name]: undefined });
    await refused({ [name]: [headers[name], headers[name]] });
    await refused({ [name.toUpperCase()]: headers[name] });
  }
  for (const timestamp of ['', 'now', '-1', '1e9', 'Infinity', '0x10']) await refused({ 'webhook-timestamp': timestamp });
});

test('a delivery that is too old or too early is refused', async () => {
  const now = Math.floor(Date.now() / 1000);
  for (const [at, toleranceSeconds, isAccepted] of [[now - 290, undefined, true], [now - 310, undefined, false], [now + 310, undefined, false], [now - 310, 600, true], [now - 20, 10, false]]) {
    const verified = verifyWebhook(...delivery(change(1), { at }), { secret: OLD, toleranceSeconds });
    await (isAccepted ? verified : assert.rejects(verified, WebhookVerificationError));
  }
});

test('a body that is no event, or another one, is refused though it is signed', async () => {
  for (const event of [{ id: 'evt_1' }, { id: 'evt_1', type: 5, data: {} }, { id: 'evt_1', type: 'x', data: null }]) {
    await assert.rejects(verifyWebhook(...delivery(event), { secret: OLD }), WebhookVerificationError);
  }
});

test('secrets that are none are refused at once, and not repeated in the error', () => {
  for (const secret of ['', [], 'whsec_', 'whsec_%secret%', [OLD, 'whsec_!']]) {
    assert.throws(() => new WebhookReceiver({ secret }), (error) => error instanceof UsageError && !error.message.includes('%secret%'));
  }
});

test('an event is handled once, also if two deliveries of it come together', async () => {
  const receiver = new WebhookReceiver({ secret: OLD });
  const event = change(1);
  const seen = [];
  const handle = () => receiver.handle(...delivery(event), async ({ id }) => {
    await new Promise((done) => setTimeout(done, 20));
    seen.push(id);
  });
  assert.deepEqual(await Promise.all([handle(), handle()]), ['handled', 'duplicate']);
  assert.equal(await handle(), 'duplicate');
  assert.deepEqual(seen, [event.id]);
});

test('an event whose handler failed is handled when it comes again', async () => {
  const receiver = new WebhookReceiver({ secret: OLD });
  const event = change(1);
  const failing = receiver.handle(...delivery(event), () => Promise.reject(new Error('the database is away')));
  await assert.rejects(failing, { message: 'the database is away' });
  assert.equal(await receiver.handle(...delivery(event), () => undefined), 'handled');
});

test('a lower sequence of the same connection is ignored; an equal one and another connection are not', async () => {
  const receiver = new WebhookReceiver({ secret: OLD });
  const outcomes = [];
  const handle = async (event) => outcomes.push(await receiver.handle(...delivery(event), () => undefined));
  await handle(change(4));
  await handle(change(3));
  await handle(change(4, {}));
  await handle(change(1, { connection_id: 'con_2' }));
  await handle({ ...change(1), type: 'session.failed' });
  await handle(change(undefined));
  await handle(change(5));
  assert.deepEqual(outcomes, ['handled', 'outdated', 'handled', 'handled', 'handled', 'handled', 'handled']);
});

test('a store of your own is asked, and told what was handled', async () => {
  const saved = [];
  const store = {
    hasHandled: async (id) => id === 'evt_seen',
    highestSequence: async () => 7,
    save: async (...row) => void saved.push(row),
  };
  const receiver = new WebhookReceiver({ secret: OLD, store });
  const seen = { ...change(9), id: 'evt_seen' };
  assert.equal(await receiver.handle(...delivery(seen), assert.fail), 'duplicate');
  const [old, next] = [change(6), change(8)];
  assert.equal(await receiver.handle(...delivery(old), assert.fail), 'outdated');
  assert.equal(await receiver.handle(...delivery(next), () => undefined), 'handled');
  assert.deepEqual(saved, [[old.id, 'con_1', 6], [next.id, 'con_1', 8]]);
});
