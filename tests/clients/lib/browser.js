// A browser as far as redirects, cookies and forms need one. The jar is tough-cookie, which keeps RFC 6265bis and
// counts `localhost` names as secure, so a `__Host-` cookie lives here as it does in Chromium.

import { parse } from 'node-html-parser';
import { CookieJar } from 'tough-cookie';

const LONGEST_TRIP = 20;

export class Browser {
  /** Every address asked for, in order. */
  history = [];
  #jar = new CookieJar(undefined, { allowSecureOnLocal: true });

  /** A trip ends before an address that begins with `stopBefore`; its page is then `stopped` at it. */
  constructor({ stopBefore } = {}) {
    this.stopBefore = stopBefore;
  }

  /** Opens an address, and follows redirects to a page. */
  async get(address) {
    return this.#travel(new URL(address), undefined);
  }

  /** Posts a form, and follows redirects to a page. */
  async post(address, fields) {
    return this.#travel(new URL(address), new URLSearchParams(fields));
  }

  async #travel(url, form) {
    for (let step = 0; step < LONGEST_TRIP; step += 1) {
      if (this.stopBefore && url.href.startsWith(this.stopBefore)) return new Page(this, url);
      const answer = await this.#ask(url, form);
      const location = answer.headers.get('location');
      if (!location) return new Page(this, url, answer.status, await answer.text());
      url = new URL(location, url);
      form = undefined;
    }
    throw new Error(`more than ${LONGEST_TRIP} redirects, the last to ${url.origin}${url.pathname}`);
  }

  async #ask(url, form) {
    this.history.push(url);
    const answer = await fetch(url, {
      method: form ? 'POST' : 'GET',
      body: form,
      redirect: 'manual',
      headers: {
        cookie: await this.#jar.getCookieString(url.href),
        // Every form here belongs to a page of the origin that it is sent to.
        ...(form ? { origin: url.origin } : {}),
      },
    });
    for (const cookie of answer.headers.getSetCookie()) {
      await this.#jar.setCookie(cookie, url.href, { ignoreError: false });
    }
    return answer;
  }
}

/** Where a trip ended. */
class Page {
  #browser;

  constructor(browser, url, status, html) {
    this.#browser = browser;
    this.url = url;
    this.status = status;
    this.stopped = html === undefined;
    this.html = parse(html ?? '');
  }

  get text() {
    const words = (this.html.querySelector('body') ?? this.html).structuredText;
    return words.replace(/\s+/g, ' ').trim();
  }

  /** Presses the button that says so, its form filled in with `fields` over what stands in it. */
  async press(label, fields = {}) {
    const button = this.html.querySelectorAll('button').find((found) => found.text.includes(label));
    if (!button) throw new Error(`no button says ${label}: ${this.status} ${this.url.pathname} ${this.text}`);
    const form = button.closest('form');
    const filled = new URLSearchParams();
    for (const input of form.querySelectorAll('input')) {
      const { name, type = 'text', value = '' } = input.attributes;
      const given = ['hidden', 'text', 'password'].includes(type) || 'checked' in input.attributes;
      if (name && given && !(name in fields)) filled.append(name, value);
    }
    for (const [name, value] of Object.entries(fields)) filled.append(name, value);
    const { name, value = '' } = button.attributes;
    if (name) filled.append(name, value);
    return this.#browser.post(new URL(form.getAttribute('action') ?? '', this.url), filled);
  }

  /** Clicks the link that says so. */
  async click(label) {
    const link = this.html.querySelectorAll('a').find((found) => found.text.includes(label));
    if (!link) throw new Error(`no link says ${label}: ${this.status} ${this.url.pathname} ${this.text}`);
    return this.#browser.get(new URL(link.getAttribute('href'), this.url));
  }
}
