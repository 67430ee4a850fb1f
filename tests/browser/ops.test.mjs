// The operators: a failure, the fix, and the attempt found by what the user reads out.

import assert from 'node:assert/strict';

import { SYNC, leaves, logsIn, pressesConnect, readsRecords, signedIn, story } from './lib/story.mjs';

story('an operator sees the failure and the fix, and finds the attempt by its reference', async ({ stack, person }) => {
  await stack.world('install', SYNC);
  const alice = await person();
  await signedIn(alice);
  await pressesConnect(alice);
  await leaves(alice);
  await logsIn(alice, 'uma@acme.example');
  await alice.press('Deny');
  await alice.page.waitForURL('**/help/fl_*');
  await signedIn(alice);
  await pressesConnect(alice);
  await leaves(alice);
  await alice.press('Allow');
  await readsRecords(alice);
  const [{ reference }] = (await stack.call('/v1/failures')).failures;

  const { url } = await stack.call('/v1/ops-links', {});
  const olga = await person();
  await olga.open(url);
  await olga.sees('Look at Salesforce connections');
  await olga.meets('ops-door');
  await olga.press('Sign in');
  await olga.sees('Salesforce connections');
  // The stream is brought every two seconds.
  await olga.page.getByText('Acme Corporation').first().waitFor();
  await olga.page.waitForTimeout(5_000);
  await olga.page.reload();
  await olga.reads('Counted up to', 'From click to connection', '50 %');
  await olga.meets('ops');
  for (const summary of await olga.page.locator('summary').all()) await summary.click();
  await olga.meets('ops-tables');

  await olga.page.getByLabel('Reference').fill(reference);
  await olga.press('Find');
  await olga.reads(reference, 'Sent', 'Answered', 'Classified', 'Advised', 'Resolved');
  await olga.meets('ops-found');

  await olga.press('Sign out');
  await olga.sees('You are signed out');
  await olga.open(`${stack.latchkey}/ops`);
  await olga.sees('You are not signed in');
  assert.ok(!(await olga.page.content()).includes('Acme'));
});
