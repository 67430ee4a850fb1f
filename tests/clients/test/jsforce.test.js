// jsforce, unchanged, with tokens from Latchkey.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';

import jsforce from 'jsforce';

import { Browser } from '../lib/browser.js';
import { Latchkey, syncApp } from '../lib/latchkey.js';
import { World } from '../lib/world.js';

const ACCOUNTS = 'SELECT Id, Name, Industry FROM Account ORDER BY Name';

let latchkey;
let world;
let connection;
/** How often jsforce asked for another token. */
let asked;

before(async () => {
  latchkey = await Latchkey.start();
  world = new World(latchkey.salesforce);
  await world.install('acme', (await syncApp()).consumerKey);
});

after(() => latchkey?.stop());

beforeEach(async () => {
  connection = await connected();
  await world.forgetCalls();
  asked = 0;
});

/** Alice connects Acme as uma. */
async function connected() {
  const browser = new Browser({ stopBefore: latchkey.returnTo });
  const page = await browser.get((await latchkey.wish()).connect_url);
  const login = await page.press('Continue to Salesforce', { host: 'production' });
  const next = await login.press('uma@acme.example');
  // Salesforce asks for consent once.
  return latchkey.redeem(next.stopped ? next : await next.press('Allow'));
}

/** A jsforce connection as a product makes one: Latchkey's token, and Latchkey asked for the next one. */
async function client() {
  let token = await latchkey.token(connection.id);
  return new jsforce.Connection({
    instanceUrl: token.instance_url,
    accessToken: token.access_token,
    async refreshFn(org, done) {
      asked += 1;
      try {
        token = await latchkey.tokenAfter(token.fingerprint, connection.id);
        org.instanceUrl = token.instance_url;
        done(null, token.access_token);
      } catch (error) {
        done(error);
      }
    },
  });
}

test('queries, describes and identifies itself with the brokered token', async () => {
  const org = await client();

  const { records } = await org.query(ACCOUNTS);
  const names = records.map(({ Name }) => Name);
  assert.deepEqual(names, ['Acme Corporation Headquarters', 'Initech', 'Umbrella Logistics']);
  const [{ Id, Industry }] = records;
  assert.equal((await org.sobject('Account').retrieve(Id)).Industry, Industry);
  assert.ok((await org.describe('Account')).fields.some(({ name }) => name === 'Industry'));
  const identity = await org.identity();
  assert.deepEqual([identity.username, identity.organization_id], ['uma@acme.example', connection.org_id]);

  assert.equal(asked, 0);
  assert.equal(await world.refreshes(), 0);
});

test('after a 401 its refreshFn gets a new token from Latchkey, and the query succeeds', async () => {
  const org = await client();
  const first = org.accessToken;
  await world.expireAccessTokens();

  const { totalSize } = await org.query(ACCOUNTS);

  assert.equal(totalSize, 3);
  assert.equal(asked, 1);
  assert.equal(await world.refreshes(), 1);
  assert.notEqual(org.accessToken, first);
  assert.equal(org.accessToken, (await latchkey.token(connection.id)).access_token);
});

test('several clients whose token expired cause one refresh between them', async () => {
  const orgs = await Promise.all([client(), client(), client(), client()]);
  await world.expireAccessTokens();

  const answers = await Promise.all(orgs.map((org) => org.query(ACCOUNTS)));

  assert.deepEqual(answers.map(({ totalSize }) => totalSize), [3, 3, 3, 3]);
  assert.equal(asked, 4);
  assert.equal(await world.refreshes(), 1);
  assert.equal(new Set(orgs.map((org) => org.accessToken)).size, 1);
});

test('a deleted connection ends it: the token is dead at once, and Latchkey gives no other', async () => {
  const org = await client();
  await latchkey.expect(204, 'DELETE', `/v1/connections/${connection.id}`);

  await assert.rejects(org.query(ACCOUNTS), /404 instead of 200/);

  assert.equal(asked, 1);
  assert.equal(await world.refreshes(), 0);
});
