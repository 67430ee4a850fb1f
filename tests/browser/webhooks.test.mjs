// Nobody polls: the product hears by webhook what happens, and its open page says so without a reload.

import assert from 'node:assert/strict';

import { SYNC, leaves, logsIn, pressesConnect, readsRecords, signedIn, story } from './lib/story.mjs';

story('the product’s open page says that an admin has to act, and that one did', async ({ stack, person }) => {
  await stack.world('install', SYNC);
  const alice = await person();
  await signedIn(alice);
  await pressesConnect(alice);
  await leaves(alice);
  await logsIn(alice, 'uma@acme.example');
  await alice.press('Allow');
  await readsRecords(alice);
  const visits = [];
  alice.page.on('framenavigated', (frame) => visits.push(frame.url()));
  const main = alice.page.locator('main');

  // The admin lets approved users in alone. The product's backend reports a token that Salesforce rejects.
  const [{ id }] = (await stack.call('/v1/connections?customer=c-acme')).connections;
  const token = `/v1/connections/${id}/token`;
  const { fingerprint } = await stack.call(token);
  await stack.world('policies', { ...SYNC, admin_approved: true });
  await stack.world('expire-access-tokens', {});
  await assert.rejects(stack.call(token, { rejected: fingerprint }), /409/);
  const help = main.getByRole('link', { name: 'What to do' });
  await help.waitFor();
  await alice.meets('fernway-told');

  await stack.world('policies', { ...SYNC, admin_approved: false });
  await stack.world('pass', { seconds: 120 });
  await stack.call(token);
  await help.waitFor({ state: 'detached' });
  await readsRecords(alice);
  assert.deepEqual(visits, [], 'the page was never loaded again');
});
