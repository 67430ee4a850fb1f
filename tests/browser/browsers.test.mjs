// What browsers do: cookies, reloads, two tabs, another browser, links that lead nowhere.

import assert from 'node:assert/strict';

import { SYNC, leaves, logsIn, pressesConnect, readsRecords, signedIn, story } from './lib/story.mjs';
import { send } from './lib/stack.mjs';

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

/** Alice presses Allow, and what Salesforce answers never reaches her browser: where it would have led. */
async function pressesAllowInATunnel(alice) {
  const answered = new Promise((done) => {
    alice.page.route('**/setup/secur/**', async (route) => {
      const asked = route.request();
      done(await send(asked.url(), { method: 'POST', headers: await asked.allHeaders() }, asked.postData()));
      await route.abort('connectionreset');
    }, { times: 1 });
  });
  await alice.press('Allow');
  const { location } = await answered;
  await alice.page.waitForURL('chrome-error://**');
  return location;
}

story('the cookies that bind an attempt hold: __Host-, Secure, HttpOnly, Lax, for Latchkey alone', async ({ stack, person }) => {
  await stack.world('install', SYNC);
  const alice = await person();
  await isAsked(alice);

  const cookies = await alice.context.cookies(stack.latchkey);
  assert.equal(cookies.length, 1, 'one for the attempt');
  for (const { name, expires, secure, httpOnly, sameSite, domain, path } of cookies) {
    assert.match(name, /^__Host-lk-/);
    const hours = (expires - Date.now() / 1000) / 3600;
    assert.ok(hours > 0 && hours <= 24, `${name} is kept for ${hours} hours`);
    assert.deepEqual([secure, httpOnly, sameSite, domain, path], [true, true, 'Lax', 'latchkey.localhost', '/']);
  }
  await alice.press('Allow');
  await readsRecords(alice);
});

story('a callback whose answer was lost on the way is loaded again and connects', async ({ stack, person }) => {
  await stack.world('install', SYNC);
  const alice = await person();
  await isAsked(alice);

  const callback = await pressesAllowInATunnel(alice);
  const cookies = await alice.context.cookies(callback);
  const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join('; ');
  assert.equal((await send(callback, { headers: { cookie } })).status, 303, 'the first time it is taken');
  await alice.open(callback);

  // The same browser gets the same receipt again.
  await readsRecords(alice);
});

story('Back and reload after the success do no harm, and say how it stands', async ({ stack, person }) => {
  await stack.world('install', SYNC);
  const alice = await person();
  await isAsked(alice);
  const callback = alice.page.waitForRequest('**/oauth/callback?*');
  await alice.press('Allow');
  await readsRecords(alice);

  // Back over Salesforce's two pages, whose time is over, to ours.
  await alice.page.goBack();
  await alice.reads('Remote Access Authorization Error');
  await alice.page.goBack();
  await alice.page.goBack();
  await alice.sees('Already connected');
  await alice.follow('Go back to Fernway');
  await readsRecords(alice);
  await alice.open((await callback).url());
  await alice.sees('Already connected');
  const { connections } = await stack.call('/v1/connections');
  assert.deepEqual(connections.map(({ state }) => state), ['active']);
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

  await mallory.open(await pressesAllowInATunnel(alice));

  await mallory.sees("This isn't the browser you started in");
  await mallory.meets('notice-other-browser');
  assert.deepEqual((await stack.call('/v1/connections')).connections, []);
});

story('links that lead nowhere have a page with a way on', async ({ stack, person }) => {
  const anybody = await person();
  await anybody.open(`${stack.latchkey}/connect/ck_nobody`);
  await anybody.sees('This link does not work');
  await anybody.meets('notice-unknown-link');
  await anybody.open(`${stack.latchkey}/help/fl_nobody`);
  await anybody.sees('This link does not work');
});
