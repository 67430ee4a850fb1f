// A person at a browser of their own. Whatever page they meet is held to the same promises: no error in the
// console, nothing against the page's content security policy, and for Latchkey's own pages no barrier that
// axe-core finds (WCAG 2.2 AA), in light and dark, and no scrolling sideways at 320 pixels.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import axe from 'axe-core';
import { chromium } from 'playwright-core';

const SHOTS = fileURLToPath(new URL('../shots/', import.meta.url));
const PICTURES = fileURLToPath(new URL('../../../docs/pictures/', import.meta.url));
const WCAG = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };
/** WCAG 1.4.10: 1280 pixels at a zoom of 400 %. */
const NARROWEST = { width: 320, height: 640 };
/** A4 between margins of 12 mm, at 96 pixels an inch. */
const PAPER = { width: 703, height: 1032 };
const SCREEN = { colorScheme: 'light', media: 'screen' };

export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
    ],
  });

/** Chromium reports a page's own 4xx as an error; the stories look at what such a page says instead. */
function isComplaint(message) {
  const ownStatus = message.text().startsWith('Failed to load') && message.location().url === message.page()?.url();
  return message.type() === 'error' && !ownStatus;
}

export class Person {
  constructor({ page, stack, scripts, complaints }) {
    Object.assign(this, { page, stack, scripts, complaints });
  }

  static async at(browser, stack, { scripts = true } = {}) {
    const context = await browser.newContext({ viewport: DESKTOP, javaScriptEnabled: scripts, locale: 'en-GB' });
    context.setDefaultTimeout(10_000);
    const complaints = [];
    context.on('console', (message) => {
      if (isComplaint(message)) complaints.push(`${message.page()?.url()}: ${message.text()}`);
    });
    context.on('weberror', (thrown) => complaints.push(`${thrown.error()}`));
    await context.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) =>
        console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
    });
    return new Person({ page: await context.newPage(), stack, scripts, complaints });
  }

  get context() {
    return this.page.context();
  }

  /** The same person, in another tab of the same browser. */
  async tab() {
    return new Person({ ...this, page: await this.context.newPage() });
  }

  /** What a link opens in a tab of its own. */
  async followInNewTab(name) {
    const [page] = await Promise.all([this.context.waitForEvent('page'), this.follow(name)]);
    return new Person({ ...this, page });
  }

  async open(address) {
    await this.page.goto(address);
  }

  press(name) {
    return this.page.getByRole('button', { name, exact: true }).click();
  }

  follow(name) {
    return this.page.getByRole('link', { name }).first().click();
  }

  choose(name) {
    return this.page.getByRole('radio', { name }).check();
  }

  /** The page's heading is this one: then the page is there. */
  async sees(heading) {
    await this.page.getByRole('heading', { level: 1, name: heading }).waitFor();
  }

  async reads(...texts) {
    const read = await this.page.locator('body').innerText();
    for (const text of texts) {
      const there = text instanceof RegExp ? text.test(read) : read.includes(text);
      assert.ok(there, `“${text}” is not on ${this.page.url()}:\n${read}`);
    }
  }

  /** No page gave cause for complaint: asked at the end of every story. */
  isContent() {
    assert.deepEqual(this.complaints, []);
  }

  /** Looks at one of Latchkey's or the product's pages from all sides. */
  async meets(name) {
    for (const [side, colorScheme] of [['', 'light'], ['-dark', 'dark']]) {
      await this.#shoot(`${name}${side}`, DESKTOP, { colorScheme });
      await this.#hasNoBarrier(name, { colorScheme }, { runOnly: { type: 'tag', values: WCAG } });
    }
    await this.#shoot(`${name}-phone`, PHONE, SCREEN);
    await this.page.setViewportSize(NARROWEST);
    const width = await this.page.evaluate(() => document.scrollingElement.scrollWidth);
    assert.ok(width <= NARROWEST.width, `${name} is ${width} pixels wide on a screen of ${NARROWEST.width}`);
    await this.#staysInItsCards(name);
    await this.page.setViewportSize(DESKTOP);
  }

  /** Nothing sticks out of the card that it is in, unless it can be scrolled there. */
  async #staysInItsCards(name) {
    const out = await this.page.evaluate(() => {
      const CARDS = '.sheet, .facts, .callout';
      return [...document.querySelectorAll(CARDS)].flatMap((card) => {
        const { left, right } = card.getBoundingClientRect();
        return [...card.querySelectorAll('*')]
          .filter((part) => !part.closest('.wide, svg, .unseen'))
          .filter((part) => part.getBoundingClientRect().width > 0)
          .filter((part) => part.getBoundingClientRect().right > right + 1 || part.getBoundingClientRect().left < left - 1)
          .map((part) => `${part.tagName} ${part.textContent.slice(0, 40)}`);
      });
    });
    assert.deepEqual(out, [], `${name} on the narrowest screen`);
  }

  /** Looks at one of Latchkey's pages with every rule that axe-core has: on a screen in light and dark, on the narrowest, on
   *  paper. Nothing is cut at an edge. */
  async studies(name) {
    const sides = [
      ['', DESKTOP, { colorScheme: 'light' }],
      ['-dark', DESKTOP, { colorScheme: 'dark' }],
      ['-narrow', NARROWEST, { colorScheme: 'light' }],
      ['-paper', PAPER, { colorScheme: 'light', media: 'print' }],
    ];
    for (const [side, size, media] of sides) {
      await this.#shoot(`${name}${side}`, size, media);
      await this.page.setViewportSize(size);
      await this.#hasNoBarrier(name, media, {});
      await this.page.emulateMedia(media);
      const wide = await this.page.evaluate(() => document.scrollingElement.scrollWidth);
      assert.ok(wide <= size.width, `${name}${side} is ${wide} pixels wide of ${size.width}`);
      if (size === NARROWEST) await this.#staysInItsCards(name);
      await this.page.emulateMedia(SCREEN);
    }
    await this.page.setViewportSize(DESKTOP);
  }

  /** What somebody reads who has the page on paper. */
  async onPaper(look) {
    await this.page.setViewportSize(PAPER);
    await this.page.emulateMedia({ media: 'print' });
    await look();
    await this.page.emulateMedia(SCREEN);
    await this.page.setViewportSize(DESKTOP);
  }

  /** Keeps a picture of a page that is not ours to judge. */
  async shows(name) {
    await this.#shoot(name, DESKTOP, SCREEN);
    await this.#shoot(`${name}-phone`, PHONE, SCREEN);
    await this.page.setViewportSize(DESKTOP);
  }

  /** For docs/pictures: what fits on a screen of that size. */
  async isPictured(name, size) {
    await this.page.setViewportSize(size);
    await this.page.evaluate(() => scrollTo(0, 0));
    await this.page.screenshot({ path: `${PICTURES}${name}.png`, animations: 'disabled' });
    await this.page.setViewportSize(DESKTOP);
  }

  async #shoot(name, size, media) {
    mkdirSync(SHOTS, { recursive: true });
    await this.page.setViewportSize(size);
    await this.page.emulateMedia(media);
    const path = `${SHOTS}${name}${this.scripts ? '' : '-without-scripts'}.png`;
    await this.page.screenshot({ path, fullPage: true, animations: 'disabled' });
    await this.page.emulateMedia(SCREEN);
  }

  async #hasNoBarrier(name, media, rules) {
    if (!this.scripts) return;
    await this.page.emulateMedia(media);
    await this.page.evaluate(axe.source);
    const { violations, passes } = await this.page.evaluate((options) => axe.run(document, options), rules);
    await this.page.emulateMedia(SCREEN);
    const barriers = violations.flatMap(({ id, help, nodes }) =>
      nodes.map(({ target, failureSummary }) => `${id}: ${help}: ${target} ${failureSummary}`));
    assert.deepEqual(barriers, [], `${name}, ${JSON.stringify(media)}`);
    assert.ok(passes.length > 5, `axe-core looked at ${name}`);
  }
}
