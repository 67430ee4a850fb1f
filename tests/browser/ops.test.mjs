// The operators: a failure, the fix, and the attempt found by what the user reads out; and a month of it.

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
  await olga.sees('Salesforce connections: sign in');
  await olga.meets('ops-door');
  await olga.press('Sign in');
  await olga.sees('Salesforce connections');
  // The stream is brought every two seconds.
  await olga.page.getByText('Acme Corporation').first().waitFor();
  await olga.page.waitForTimeout(5_000);
  await olga.page.reload();
  await olga.reads('Updated', 'From click to connection', '50 %');
  await olga.meets('ops');
  for (const summary of await olga.page.locator('summary').all()) await summary.click();
  await olga.meets('ops-tables');

  await olga.page.getByLabel('Search').fill(reference);
  await olga.press('Find');
  await olga.reads(reference, 'Sent', 'Answered', 'Classified', 'Advised', 'Resolved');
  await olga.meets('ops-found');

  await olga.press('Sign out');
  await olga.sees('You are signed out');
  await olga.open(`${stack.latchkey}/ops`);
  await olga.sees('You are not signed in');
  assert.ok(!(await olga.page.content()).includes('Acme'));
});

story('a month on one page is read on any screen, on paper and aloud, and took one request', async ({ stack, person }) => {
  const { url } = await stack.call('/v1/ops-links', {});
  const olga = await person();
  await olga.open(url);
  await olga.press('Sign in');
  await olga.sees('Salesforce connections');
  const asked = [];
  olga.page.on('request', (request) => asked.push(request.url()));
  for (const [choice, days] of [['24 hours', 1], ['7 days', 7], ['90 days', 90], ['30 days', 30]]) {
    asked.length = 0;
    await olga.follow(choice);
    await olga.page.waitForLoadState('networkidle');
    const fetched = asked.filter((address) => !address.startsWith('data:'));
    assert.deepEqual(fetched, [`${stack.latchkey}/ops?days=${days}`]);
    const bytes = Buffer.byteLength(await olga.page.content());
    assert.ok(bytes < 60_000, `${choice}: ${bytes} bytes`);
  }
  await olga.studies('ops-month');

  // On paper nothing can be opened: the numbers of every drawing stand there, and no column is cut.
  await olga.onPaper(async () => {
    for (const section of ['sessions', 'refreshes']) {
      const sheet = olga.page.locator(`[aria-labelledby=${section}]`);
      assert.equal(await sheet.locator('.numbers tbody tr').count(), 30);
      assert.ok(await sheet.locator('.numbers tbody tr').last().isVisible(), section);
      assert.ok(await sheet.locator('svg').first().isVisible(), section);
    }
    const cut = await olga.page.evaluate(() =>
      [...document.querySelectorAll('table, figure > svg')]
        .filter((part) => part.getBoundingClientRect().right > innerWidth)
        .map((part) => part.closest('section').getAttribute('aria-labelledby')));
    assert.deepEqual(cut, []);
    assert.ok(!(await olga.page.getByRole('button', { name: 'Sign out' }).isVisible()));
  });

  // What can be chosen is reached by the keyboard, and what scrolls too.
  await olga.page.getByRole('link', { name: 'Sandbox' }).focus();
  await olga.page.keyboard.press('Enter');
  await olga.page.waitForURL('**/ops?days=30&environment=sandbox');
  assert.equal(await olga.page.locator('[aria-label=Environment] [aria-current=page]').innerText(), 'Sandbox');
}, { month: 300 });
