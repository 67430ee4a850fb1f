// A connection is authorized anew: who comes back as another Salesforce user is asked first, and too many grants of one
// user are warned of.

import assert from 'node:assert/strict';

import { SYNC, leaves, logsIn, pressesConnect, readsRecords, signedIn, story } from './lib/story.mjs';

/** Alice has connected Acme as Uma: the connection. */
async function connected(stack, alice) {
  await stack.world('install', SYNC);
  await signedIn(alice);
  await pressesConnect(alice);
  await leaves(alice);
  await logsIn(alice, 'uma@acme.example');
  await alice.sees('Allow Access?');
  await alice.press('Allow');
  await readsRecords(alice);
  const { connections: [connection] } = await stack.call('/v1/connections');
  return connection;
}

/** A link for Alice. */
async function invited(stack, wish) {
  const session = await stack.call('/v1/connect-sessions', {
    app: 'sync', user: 'u-alice', return_to: `${stack.product}/salesforce/return`, ...wish,
  });
  return session.connect_url;
}

story('who comes back as another Salesforce user sees both, and decides', async ({ stack, person }) => {
  const alice = await person();
  const { id } = await connected(stack, alice);
  const username = async () => (await stack.call(`/v1/connections/${id}`)).username;
  const comesBackAsAda = async () => {
    await alice.open(await invited(stack, { connection_id: id }));
    await alice.reads('This renews an existing connection');
    await alice.page.getByRole('checkbox', { name: 'Ask me to sign in again' }).check();
    await leaves(alice);
    await logsIn(alice, 'ada@acme.example');
  };

  await comesBackAsAda();
  await alice.sees('Allow Access?');
  await alice.press('Allow');
  await alice.sees('You signed in as a different Salesforce user');
  await alice.reads('uma@acme.example', 'ada@acme.example', 'Nothing has changed yet');
  await alice.meets('confirm');
  await alice.press('Keep uma@acme.example');
  await alice.page.waitForURL('**/help/fl_*');
  await alice.reads('You can fix this', 'Nothing was changed');
  await alice.meets('help-other-identity');
  assert.equal(await username(), 'uma@acme.example');

  await alice.open(await invited(stack, { connection_id: id }));
  await alice.meets('connect-again');
  await comesBackAsAda();
  await alice.sees('Allow Access?');
  await alice.press('Allow');
  await alice.sees('You signed in as a different Salesforce user');
  await alice.press('Switch to ada@acme.example');
  await readsRecords(alice);
  assert.equal(await username(), 'ada@acme.example');
});

story('before Salesforce ends an older connection, the connect page says so', async ({ stack, person }) => {
  const alice = await person();
  await connected(stack, alice);
  for (let more = 0; more < 3; more += 1) {
    await alice.open(await invited(stack, { customer: { id: 'c-acme' }, another: true }));
    await leaves(alice);
    await readsRecords(alice);
  }

  await alice.open(await invited(stack, { customer: { id: 'c-acme' } }));

  await alice.reads('Salesforce may end an older connection', 'has allowed Fernway Sync about as often');
  assert.ok(!(await alice.page.textContent('body')).includes('uma@acme.example'), 'a link shows no identity');
  await alice.meets('connect-crowded');
});
