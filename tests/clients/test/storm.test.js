// Storms: Latchkey is killed with `kill -9` while it refreshes and imports, against a provider in another process that
// rotates refresh tokens strictly: a token that is used twice ends its grant.
//
// `KILLS=50 tests/clients/run storm` runs a longer one (docs/contributing.md).

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { FarSide } from '../lib/far-side.js';
import { Latchkey, syncApp } from '../lib/latchkey.js';
import { World } from '../lib/world.js';

const KILLS = Number(process.env.KILLS ?? 3);

/** How many connections are refreshed at once, by how many callers each, and how many more that a kill has cut off. */
const CONNECTIONS = 6;
const CALLERS = 2;
const RECOVERING = 4;

/** How long a caller does something else between two calls. */
const PAUSE_MS = 10;

/** How long a storm lasts, how soon every token in it is stale, and how long the provider takes over a call. */
const STORM_MS = [500, 1500];
const STALE_AFTER_MS = [100, 300];
const PROVIDER_MS = [10, 150];

/** How many of the kills come while the provider works on a call, and at most how long after that was seen. */
const AIMED = 0.7;
const AIM_MS = [0, 200];

/**
 * An answer that was sent so shortly before a kill may not have been written yet. Where a caller has got the token there is
 * no such grace.
 */
const GRACE_MS = 1000;

/** Longer than access tokens live, leases last and recoveries wait; and how often that is waited for. */
const STALE_S = 16 * 60;
const TRIES = 4;

const random = generator(Number(process.env.SEED ?? Date.now() % 1_000_000));

let farSide;
let latchkey;
let folder;

/** By id: the connections that no kill has cut off, with the refresh token that began each. */
const steady = new Map();
/** The connections and imports that a kill may have cut off. */
const cutOff = { connections: [], imports: [] };
/** Of every access token that a caller got, the connection. */
const handed = new Map();

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'latchkey-storm-'));
  farSide = await FarSide.listen();
  latchkey = await Latchkey.startQuietly('--login-host', farSide.issuer, '--data', folder);
  farSide.serve(await syncApp(), latchkey.callback);
  farSide.takes = () => between(PROVIDER_MS);
});

after(async () => {
  await latchkey?.stop();
  await farSide?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Numbers from 0 to 1 that a seed repeats (mulberry32). */
function generator(seed) {
  console.log(`SEED=${seed}`);
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function between([least, most]) {
  return least + random() * (most - least);
}

/** When Latchkey was killed. */
const kills = [];

let customers = 0;

/** A refresh token that the product is about to import for a new customer. */
async function toImport() {
  customers += 1;
  const number = customers;
  const refreshToken = await farSide.refreshToken();
  const call = {
    app: 'sync',
    customer: { id: `c-${number}`, name: `Customer ${number}` },
    user: 'u-alice',
    environment: 'production',
    refresh_token: refreshToken,
  };
  return { refreshToken, call };
}

function send({ call }) {
  return latchkey.call('POST', '/v1/connections', call);
}

async function imported() {
  const token = await toImport();
  const { status, body } = await send(token);
  assert.equal(status, 201, body?.title);
  steady.set(body.id, token.refreshToken);
}

/** One caller that uses a connection until its storm is over. */
async function keepAsking(id, storm) {
  while (!storm.over) {
    let answer;
    storm.asking += 1;
    try {
      answer = await latchkey.call('GET', `/v1/connections/${id}/token`);
    } catch {
      // The kill.
      return;
    } finally {
      storm.asking -= 1;
    }
    // An answer that came is an answer, whether or not the process still lives.
    if (answer.status === 200) handed.set(answer.body.access_token, id);
    else assert.ok([409, 503].includes(answer.status), `${answer.status} ${answer.body?.title}`);
    await setTimeout(PAUSE_MS);
    while (storm.waiting && !storm.over) await setTimeout(1);
  }
}

/** Makes every token stale, again and again, while nobody asks: no clock jumps in the middle of a request. */
async function keepPassing(storm, until) {
  while (performance.now() < until) {
    storm.waiting = true;
    while (storm.asking > 0) await setTimeout(1);
    await pass(STALE_S);
    storm.waiting = false;
    await setTimeout(between(STALE_AFTER_MS));
  }
}

/** An import that the kill may cut off. */
async function startImport(pending) {
  pending.push(await toImport());
  try {
    const answer = await send(pending.at(-1));
    pending.at(-1).id = answer.body?.id;
  } catch {
    // The kill.
  }
}

/** The uses of the refresh tokens that began with this one: each answer names the next. */
function usesOf(first) {
  const family = [];
  let token = first;
  while (token) {
    const uses = farSide.uses.filter((use) => use.token === token);
    family.push(...uses);
    token = uses.find((use) => use.status === 200)?.refresh;
  }
  return family;
}

/** What became of a grant at the provider, without its tokens. */
function history(first) {
  const order = [...new Set(usesOf(first).map((use) => use.token))];
  const at = (time) => (time === undefined ? 'never' : time.toFixed(0));
  return usesOf(first)
    .map((use) => `token ${order.indexOf(use.token)}: ${use.status}, ${at(use.began)} to ${at(use.done)}, sent ${at(use.sent)}`)
    .concat(kills.map((kill) => `kill at ${at(kill)}`))
    .join('\n');
}

/** Whether the last use of a grant may have been cut off by the kill: no caller got its token, and it was in flight. */
function mayBeCutOff(first, killedAt) {
  const last = usesOf(first).at(-1);
  if (!last || handed.has(last.access)) return false;
  return last.sent === undefined || last.sent > killedAt - GRACE_MS;
}

/** A storm, its kill, and a look at what is left. */
async function storm() {
  while (steady.size < CONNECTIONS) await imported();
  const now = { over: false, waiting: false, asking: 0 };
  const busy = [...steady.keys()].flatMap((id) => Array.from({ length: CALLERS }, () => keepAsking(id, now)));
  for (const recovering of cutOff.connections.slice(-RECOVERING)) {
    recovering.storms += 1;
    busy.push(keepAsking(recovering.id, now));
  }
  await keepPassing(now, performance.now() + between(STORM_MS));
  const pending = [];
  busy.push(startImport(pending), startImport(pending));
  if (random() < AIMED) {
    const end = performance.now() + STORM_MS[1];
    while (farSide.inFlight === 0 && performance.now() < end) await setTimeout(1);
  }
  await setTimeout(between(AIM_MS));

  const killedAt = performance.now();
  kills.push(killedAt);
  await latchkey.kill();
  now.over = true;
  await Promise.all(busy);
  while (farSide.inFlight > 0) await setTimeout(5);

  for (const [id, first] of steady) {
    if (mayBeCutOff(first, killedAt)) {
      cutOff.connections.push({ id, first, storms: 0 });
      steady.delete(id);
    }
  }
  cutOff.imports.push(...pending);
  await latchkey.restart();
  // The new process is where the old one was in time.
  await new World(latchkey.salesforce).pass(farSide.ahead / 1000);
  for (const [id, first] of steady) {
    // What a caller got was stored before: the token that is stored now is that one or a newer one, and it works.
    const { status, body } = await settle(id);
    assert.equal(status, 200, `${id} after a kill: ${body?.title}`);
    const order = usesOf(first).map((use) => use.access);
    const newest = order.findLastIndex((access) => handed.get(access) === id);
    assert.ok(order.indexOf(body.access_token) >= newest, `${id} went back to an older token`);
    assert.ok((await farSide.introspect(body.access_token)).active, `${id} has a token that does not work`);
    handed.set(body.access_token, id);
  }
}

/** Time passes on both sides. */
async function pass(seconds) {
  farSide.ahead += seconds * 1000;
  await new World(latchkey.salesforce).pass(seconds);
}

/** Asks for a token until there is one, or its user is needed. */
async function settle(id) {
  let answer;
  for (let turn = 0; turn < TRIES; turn += 1) {
    answer = await latchkey.call('GET', `/v1/connections/${id}/token`);
    if (answer.status !== 503) break;
    await pass(STALE_S);
  }
  return answer;
}

/** The same for an import, which the product sends again. */
async function settleImport(token) {
  let answer;
  for (let turn = 0; turn < TRIES; turn += 1) {
    answer = await send(token);
    if (![409, 503].includes(answer.status)) break;
    await pass(STALE_S);
  }
  return answer;
}

/**
 * A grant may end only where the provider spent its token on an answer that reached nobody; or where a second kill cut off
 * the one recovery, so that nobody knows whether it was sent.
 */
function endedForAReason(first, what, storms = 0) {
  const spent = usesOf(first).filter((use) => use.status === 200 && !handed.has(use.access));
  assert.ok(spent.length > 0 || storms > 0, `${what} ended, and its last answer had reached a caller`);
}

test(`${KILLS} kills lose no token that had reached a living process`, async () => {
  for (let kill = 0; kill < KILLS; kill += 1) await storm();

  await pass(STALE_S);
  for (const id of steady.keys()) {
    const { status, body } = await settle(id);
    assert.equal(status, 200, `${id} needs its user: ${body?.title}`);
    assert.ok((await farSide.introspect(body.access_token)).active);
  }
  const ended = { connections: 0, imports: 0 };
  for (const { id, first, storms } of cutOff.connections) {
    const { status, body } = await settle(id);
    if (status === 200) {
      assert.ok((await farSide.introspect(body.access_token)).active, id);
    } else {
      assert.equal(body.type, 'urn:latchkey:problem:reauthorization-needed', `${id}: ${status} ${body.title}`);
      assert.equal(body.cause, 'answer_lost', `${id} after ${storms} more storms\n${history(first)}\n${latchkey.linesOf(id)}`);
      endedForAReason(first, id, storms);
      ended.connections += 1;
    }
  }
  for (const token of cutOff.imports) {
    const { status, body } = await settleImport(token);
    if (status < 300) {
      const { status: works, body: answer } = await settle(body.id);
      assert.equal(works, 200, `${body.id}, imported: ${answer?.title}`);
    } else {
      assert.equal(body.type, 'urn:latchkey:problem:import-refused', `${status} ${body.title} ${body.detail}`);
      endedForAReason(token.refreshToken, 'an import');
      ended.imports += 1;
    }
  }
  const refreshes = farSide.uses.filter((use) => use.status === 200).length;
  console.log(
    `${KILLS} kills, ${refreshes} refreshes, ${handed.size} tokens handed to callers: ${steady.size} connections ` +
      `undisturbed; cut off: ${cutOff.connections.length} connections, ${ended.connections} of them ended as answer_lost, ` +
      `${cutOff.imports.length} imports, ${ended.imports} of them lost`,
  );
});

test('no refresh token was used by two at once, and none more than twice', () => {
  const byToken = Map.groupBy?.(farSide.uses, (use) => use.token) ?? group(farSide.uses);
  const mayBeRecovered = new Set(
    cutOff.connections.map(({ first }) => first).concat(cutOff.imports.map(({ refreshToken }) => refreshToken))
      .flatMap((first) => usesOf(first).map((use) => use.token)),
  );
  let twice = 0;
  for (const [token, uses] of byToken) {
    if (uses.length === 1) continue;
    twice += 1;
    assert.equal(uses.length, 2, 'a refresh token was used three times');
    assert.ok(mayBeRecovered.has(token), 'a refresh token was used twice, and no kill had cut its answer off');
    const [one, other] = uses.sort((a, b) => a.began - b.began);
    assert.ok(one.done <= other.began, 'a refresh token was used by two at once');
  }
  console.log(`${twice} refresh tokens were used twice, each by the one recovery`);
});

/** Node 20 has no Map.groupBy. */
function group(uses) {
  const groups = new Map();
  for (const use of uses) groups.set(use.token, [...(groups.get(use.token) ?? []), use]);
  return groups;
}

test('none of the tokens is in the log', () => {
  for (const { token, access } of farSide.uses) {
    assert.ok(!latchkey.log.includes(token) && !(access && latchkey.log.includes(access)));
  }
});
