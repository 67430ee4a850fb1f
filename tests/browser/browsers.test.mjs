// What browsers do: cookies, reloads, two tabs, another browser, links that lead nowhere.

import assert from 'node:assert/strict';

import { SYNC, leaves, logsIn, pressesConnect, readsRecords, signedIn, story } from './lib/story.mjs';

/** Alice at Salesforce, about to press Allow. */
async function isAsked(alice) {
  await signedIn(alice);
  await pressesConnect(alice);
  const link = alice.page.url();
  await leaves(alice);
  await logsIn(alice, 'uma@acme.example');
  await alice.sees('Allow Access?');
  return link;
}

story('the cookies that bind an attempt hold: __Host-, Secure, HttpOnly, Lax, for Latchkey alone', async ({ stack, person }) => {
  await stack.world('install', SYNC);
  const alice = await person();
  await isAsked(alice);

  const cookies = await alice.context.cookies(stack.latchkey);
  assert.equal(cookies.length, 2, 'one for the attempt, one for the way back');
  for (const { name, secure, httpOnly, sameSite, domain, path } of cookies) {
    assert.match(name, /^__Host-lk-/);
    assert.deepEqual([secure, httpOnly, sameSite, domain, path], [true, true, 'Lax', 'latchkey.localhost', '/']);
  }
  await alice.press('Allow');
  await readsRecords(alice);
  const left = await alice.context.cookies(stack.latchkey);
  assert.equal(left.length, 1, 'the attempt is over');
});

story('a callback whose answer was lost on the way is loaded again: already connected', async ({ stack, person }) => {
  await stack.world('install', SYNC);
  const alice = await person();
  await isAsked(alice);

  // The first answer arrives in the network and never in the browser, as on a train.
  await alice.page.route('**/oauth/callback?*', async (route) => {
    const headers = await route.request().allHeaders();
    await fetch(route.request().url(), { headers: { cookie: headers.cookie }, redirect: 'manual' });
    await route.abort('connectionreset');
  }, { times: 1 });
  const callback = alice.page.waitForRequest('**/oauth/callback?*');
  await alice.press('Allow');
  await alice.open((await callback).url());

  await alice.sees('Already connected');
  await alice.reads('Acme Corporation');
  await alice.page.reload();
  await alice.sees('Already connected');
  await alice.follow('Go back to Fernway');
  assert.ok(alice.page.url().startsWith(stack.product));
  alice.complaints.splice(0, alice.complaints.length, ...alice.complaints.filter((one) => !one.includes('ERR_')));
});

story('two tabs of one session: one connects, the other hears that all is well', async ({ stack, person }) => {
  await stack.world('install', SYNC);
  const first = await person();
  const link = await isAsked(first);
  const second = await first.tab();
  await second.open(link);
  await second.reads('Did Salesforce stop you?');
  await leaves(second);
  await second.sees('Allow Access?');

  await second.press('Allow');
  await readsRecords(second);
  await first.press('Allow');
  await first.sees('Already connected');
  const { connections } = await stack.call('/v1/connections');
  assert.equal(connections.length, 1);
});

story('an answer in another browser binds nothing and says so', async ({ stack, person }) => {
  await stack.world('install', SYNC);
  const [alice, mallory] = [await person(), await person()];
  await isAsked(alice);

  await alice.page.route('**/oauth/callback?*', (route) => route.abort());
  const callback = alice.page.waitForRequest('**/oauth/callback?*');
  await alice.press('Allow');
  await mallory.open((await callback).url());

  await mallory.sees('We cannot finish this sign-in');
  await mallory.meets('notice-stray-callback');
  assert.deepEqual((await stack.call('/v1/connections')).connections, []);
  alice.complaints.splice(0, alice.complaints.length, ...alice.complaints.filter((one) => !one.includes('ERR_')));
});

story('links that lead nowhere have a page with a way on', async ({ stack, person }) => {
  const anybody = await person();
  await anybody.open(`${stack.latchkey}/connect/ck_nobody`);
  await anybody.sees('This link does not work');
  await anybody.meets('notice-unknown-link');
  await anybody.open(`${stack.latchkey}/help/fl_nobody`);
  await anybody.sees('This link does not work');
  await anybody.open(`${stack.latchkey}/connect`);
  await anybody.sees('There is no page here');
  await anybody.meets('notice-not-found');
});
