// The tour that `cargo run --locked -p local` prints: the error, the fix, the success.

import assert from 'node:assert/strict';

import { clicksInUsage, leaves, logsIn, pressesConnect, readsRecords, signedIn } from './story.mjs';

export async function tour(alice, ada, look) {
  // The error: Salesforce stops Uma on a page of its own, and sends nobody back.
  await alice.open(alice.stack.product);
  await look(alice, 'product-signed-out');
  await signedIn(alice);
  await look(alice, 'product');
  await pressesConnect(alice);
  await alice.reads('Acme Corporation', 'Fernway Sync', 'Ask me to sign in again');
  await look(alice, 'connect');
  const connectPage = alice.page.url();
  await leaves(alice);
  await logsIn(alice, 'uma@acme.example');
  await alice.sees('We can\'t authorize you because of an OAuth error');
  const stuckAt = alice.page.url();
  assert.match(stuckAt, /^http:\/\/acme\.my\.salesforce\.localhost:\d+\/setup\/secur\/RemoteAccessErrorPage\.apexp\?/);
  await look(alice, 'salesforce-error');

  // Back, and back again: the login page, then ours, which knows that nobody returned.
  await alice.page.goBack();
  await alice.page.goBack();
  await alice.sees('Connect Salesforce to Fernway');
  assert.equal(alice.page.url(), connectPage);
  await alice.reads('Did Salesforce stop you?');
  await look(alice, 'connect-after-trouble');
  await alice.follow('Tell us what you saw');
  await alice.sees('What did Salesforce show you?');
  await look(alice, 'trouble');
  await alice.page.getByLabel('Address or text of the page').fill(stuckAt);
  await alice.press('Show me what to do');
  await alice.page.waitForURL('**/help/fl_*');
  await alice.reads('Fernway Sync', 'Your Salesforce admin can fix this', 'Connected Apps OAuth Usage', /\bInstall\b/);
  await look(alice, 'help');

  // The fix: Ada, the admin, opens the link from the message, in her own browser.
  const help = alice.page.url();
  const [letter] = /http\S+\/help\/\S+/.exec(await alice.page.locator('.message').innerText());
  assert.equal(letter, `${help}#admin`);
  await ada.open(letter);
  await ada.reads('For your Salesforce admin');
  assert.equal(await ada.page.getByRole('link', { name: 'Try again' }).count(), 0, 'a link attaches nothing');
  const setup = await ada.followInNewTab('Open in Setup');
  await logsIn(setup, 'ada@acme.example');
  await setup.sees('Connected Apps OAuth Usage');
  await look(setup, 'salesforce-usage');
  await clicksInUsage(setup, 'Fernway Sync', 'Install');
  await setup.sees('Install Fernway Sync');
  await look(setup, 'salesforce-install');
  await setup.press('Install');
  await setup.sees('Fernway Sync');
  await setup.follow('Setup Home');
  await setup.follow('Connected Apps OAuth Usage');
  await setup.sees('Connected Apps OAuth Usage');
  await setup.reads('Uninstall');
  await look(setup, 'salesforce-usage-installed');

  // The success: the help page leads this browser back, Uma is still signed in, and Salesforce asks.
  await alice.follow('Try again');
  await leaves(alice);
  await alice.sees('Allow Access?');
  await look(alice, 'salesforce-allow');
  await alice.press('Allow');
  await readsRecords(alice);
  await look(alice, 'product-connected');
  return { help, connectPage };
}
