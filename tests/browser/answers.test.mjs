// What Salesforce answers at the callback: Deny, and an app that the admin has blocked.

import {
  SYNC, clicksInUsage, leaves, logsIn, opensSetup, pressesConnect, readsRecords, signedIn, story,
} from './lib/story.mjs';

story('Deny leads to a page that blames nobody, and from it Allow is one step away', async ({ stack, person }) => {
  await stack.world('install', SYNC);
  const alice = await person();
  await signedIn(alice);
  await pressesConnect(alice);
  await leaves(alice);
  await logsIn(alice, 'uma@acme.example');
  await alice.sees('Allow Access?');
  await alice.press('Deny');

  await alice.page.waitForURL('**/help/fl_*');
  await alice.reads('You can fix this', 'access_denied');
  await alice.meets('help-denied');
  await alice.follow('Try again');
  await alice.sees('Connect Salesforce to Fernway');
  await alice.reads('Your last attempt didn’t work');
  await alice.meets('connect-after-failure');
  await leaves(alice);
  await alice.sees('Allow Access?');
  await alice.press('Allow');
  await readsRecords(alice);
});

story('a blocked app names the block and its way out; unblocked, the same browser connects', async ({ stack, person }) => {
  await stack.world('install', SYNC);
  await stack.world('block', SYNC);
  const [alice, ada] = [await person(), await person()];
  await signedIn(alice);
  await pressesConnect(alice);
  await leaves(alice);
  await logsIn(alice, 'uma@acme.example');

  await alice.page.waitForURL('**/help/fl_*');
  await alice.reads('Your Salesforce admin can fix this', /blocked/i, 'Unblock', 'Fernway Sync');
  await alice.meets('help-blocked');
  await opensSetup(ada);
  await ada.follow('Connected Apps OAuth Usage');
  await clicksInUsage(ada, 'Fernway Sync', 'Unblock');
  await ada.sees('Connected Apps OAuth Usage');
  await alice.follow('Try again');
  await leaves(alice);
  await alice.sees('Allow Access?');
  await alice.press('Allow');
  await readsRecords(alice);
});
