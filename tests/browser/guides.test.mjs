// Before anything goes wrong, and while there is nothing to do but wait.

import assert from 'node:assert/strict';

import { SYNC, leaves, pressesConnect, signedIn, story } from './lib/story.mjs';

story('an admin reads the guide first, from the connect page', async ({ stack, person }) => {
  const alice = await person();
  await signedIn(alice);
  await pressesConnect(alice);

  await alice.follow('Read the admin’s guide');

  await alice.page.waitForURL('**/guides/fernway/sync');
  await alice.reads('Fernway Sync', 'Connected Apps OAuth Usage', 'Install');
  await alice.meets('guide-admin');
  const step = alice.page.getByRole('checkbox').first();
  await step.check();
  await alice.page.reload();
  assert.ok(await step.isChecked(), 'what is ticked off stays ticked off');

  await alice.open(`${stack.latchkey}/guides/fernway/insights`);
  await alice.reads('Fernway Insights');
  await alice.meets('guide-admin-package');
  await alice.open(`${stack.latchkey}/guides/fernway/sync/vendor`);
  await alice.reads(`${stack.latchkey}/oauth/callback`);
  await alice.meets('guide-vendor');
});

story('where waiting is the answer, the page counts down to the next try', async ({ stack, person }) => {
  await stack.world('install', SYNC);
  const alice = await person();
  await signedIn(alice);
  await pressesConnect(alice);
  const link = alice.page.url();
  await leaves(alice);
  await alice.open(`${link}/trouble`);

  await alice.page.getByRole('textbox').fill('error=temporarily_unavailable&error_description=server+too+busy');
  await alice.press('Show me what to do');

  await alice.page.waitForURL('**/help/fl_*');
  await alice.page.getByText(/in about \d+ min/).waitFor();
  await alice.meets('help-wait');
  await alice.follow('Try again');
  await alice.page.waitForURL(link);
});
