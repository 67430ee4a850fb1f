// What every story shares: a world of its own, people in it, and the steps between the pages.

import { test } from 'node:test';

import { Person, launch } from './person.mjs';
import { Stack } from './stack.mjs';

/** Fernway's connected app: infra/products/fernway.toml. */
export const SYNC = { org: 'acme', app: '3MVG9FernwaySyncConsumerKey.Zx81kQ0aBcDeFgHiJkLmNoPq' };

/** One story: a new stack, a new browser, and nobody complained about a page in the end. */
export function story(name, tell, begun = {}) {
  test(name, { timeout: 120_000 }, async (t) => {
    const stack = await Stack.start(begun);
    const browser = await launch();
    const people = [];
    const person = async (options) => {
      people.push(await Person.at(browser, stack, options));
      return people.at(-1);
    };
    try {
      await tell({ stack, person });
      for (const one of people) one.isContent();
    } catch (error) {
      t.diagnostic(stack.logs.slice(-20).join('\n'));
      throw error;
    } finally {
      await browser.close();
      await stack.stop();
    }
  });
}

/** Alice, signed in to Fernway. */
export async function signedIn(person) {
  await person.open(person.stack.product);
  await person.press('Alice');
  await person.sees('Connect Salesforce');
}

/** From the product to Latchkey's connect page. */
export async function pressesConnect(person) {
  await person.press('Connect Salesforce');
  await person.sees('Connect Salesforce to Fernway');
}

/** From the connect page to Salesforce. */
export async function leaves(person, where = 'Production') {
  await person.choose(where);
  await person.press('Continue to Salesforce');
}

/** At Salesforce's login page. */
export async function logsIn(person, username) {
  await person.sees('Log In');
  await person.page.getByRole('button', { name: username }).click();
}

/** The admin opens Setup in the org of Acme. */
export async function opensSetup(person) {
  await person.open(`http://acme.my.salesforce.localhost:${person.stack.salesforcePort}/lightning/setup/SetupOneHome/home`);
  await logsIn(person, 'ada@acme.example');
  await person.sees('Setup');
}

/** In *Connected Apps OAuth Usage*, the admin clicks what the app's row offers. */
export async function clicksInUsage(person, app, action) {
  await person.sees('Connected Apps OAuth Usage');
  await person.page.getByRole('row', { name: app }).getByRole('button', { name: action, exact: true }).click();
}

/** The product shows what it read with the token. */
export async function readsRecords(person) {
  await person.sees('Your Salesforce accounts');
  await person.reads('Umbrella Logistics', 'Transportation');
}
