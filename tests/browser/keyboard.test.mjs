// Nobody needs a mouse: the connect page, the trouble page and the help page by Tab, Space, arrows and Enter.

import assert from 'node:assert/strict';

import { SYNC, leaves, logsIn, pressesConnect, signedIn, story } from './lib/story.mjs';

/** What has the focus: its role's element, its name, and whether a person sees that it does. */
const focused = (person) =>
  person.page.evaluate(() => {
    const element = document.activeElement;
    const frame = element.closest('.option') ?? element;
    const seen = [element, frame].some((one) => getComputedStyle(one).outlineStyle === 'solid');
    return { what: element.name || element.id || element.textContent.trim(), value: element.value, seen };
  });

/** Tabs on to what is called that; everything met on the way shows its focus. */
async function tabsTo(person, what) {
  for (let steps = 0; steps < 40; steps += 1) {
    await person.page.keyboard.press('Tab');
    const on = await focused(person);
    assert.ok(on.seen, `${on.what} does not show that it has the focus`);
    if (on.what === what) return;
  }
  assert.fail(`Tab never comes to ${what}`);
}

story('the connect page by keyboard: a My Domain, a fresh login, on to Salesforce', async ({ stack, person }) => {
  await stack.world('install', SYNC);
  const alice = await person();
  await signedIn(alice);
  await pressesConnect(alice);
  const { keyboard } = alice.page;

  await tabsTo(alice, 'host');
  await keyboard.press('ArrowDown');
  await keyboard.press('ArrowDown');
  assert.equal((await focused(alice)).value, 'my_domain');
  await tabsTo(alice, 'my_domain');
  await keyboard.type('evil.com#.my.salesforce.com');
  await keyboard.press('Enter');

  // Refused, and the focus is where the answer is mended.
  await alice.page.getByText('That is not a Salesforce My Domain').waitFor();
  assert.equal((await focused(alice)).what, 'my_domain');
  await alice.meets('connect-not-a-my-domain');
  await keyboard.press('Control+A');
  await keyboard.type('acme');
  await tabsTo(alice, 'fresh_login');
  await keyboard.press('Space');
  await tabsTo(alice, 'Continue to Salesforce');
  await keyboard.press('Enter');
  await alice.sees('Log In');
  assert.match(alice.page.url(), /^http:\/\/acme\.my\.salesforce\.localhost:/);
});

story('the trouble page and the help page by keyboard', async ({ person }) => {
  const alice = await person();
  await alice.context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await signedIn(alice);
  await pressesConnect(alice);
  const link = alice.page.url();
  await leaves(alice);
  await logsIn(alice, 'uma@acme.example');
  await alice.sees('We can\'t authorize you');
  await alice.open(link);
  const { keyboard } = alice.page;

  await tabsTo(alice, 'Tell us what you saw');
  await keyboard.press('Enter');
  await alice.sees('What did Salesforce show you?');
  await tabsTo(alice, 'Show me what to do');
  await keyboard.press('Enter');
  await alice.page.getByRole('alert').waitFor();
  await alice.reads('Paste the address or text of the page, or choose one below.');
  await alice.meets('trouble-nothing-given');
  await tabsTo(alice, 'seen');
  await keyboard.press('Space');
  await tabsTo(alice, 'Show me what to do');
  await keyboard.press('Enter');

  await alice.page.waitForURL('**/help/fl_*');
  await alice.meets('help-by-choice');
  await tabsTo(alice, 'Copy the message');
  await keyboard.press('Enter');
  await alice.page.getByRole('button', { name: 'Copied' }).waitFor();
  const copied = await alice.page.evaluate(() => navigator.clipboard.readText());
  assert.ok(copied.includes(alice.page.url()), copied);

  // What is ticked off stays ticked off.
  const step = alice.page.getByRole('checkbox').first();
  await step.focus();
  await keyboard.press('Space');
  await alice.page.reload();
  assert.ok(await step.isChecked());
});
