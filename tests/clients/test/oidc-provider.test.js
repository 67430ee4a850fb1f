// Latchkey's functions against a certified OpenID provider: nothing that they send or check is ours on both sides.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';

import { Browser } from '../lib/browser.js';
import { FarSide, sign } from '../lib/far-side.js';
import { Latchkey, syncApp } from '../lib/latchkey.js';
import { World } from '../lib/world.js';

const CALLERS = 20;

/** Seconds after which a token can be replaced for its lifetime alone, and how much less than its whole life is asked for. */
const OLD_ENOUGH = 61;
const IN_REACH = 50;

/** How long the provider thinks about a refresh that all of them are waiting for. */
const REFRESH_TAKES_MS = 700;

let farSide;
let latchkey;
let world;
/** Seconds that our clock is ahead of the provider's. */
let ahead = 0;

/** A token that outlives the present one. The provider's clock stands when ours passes, so the life in reach is read off the present one. */
async function longerLived(id) {
  const { expires_at } = await latchkey.token(id);
  const life = Math.floor((Date.parse(expires_at) - Date.now()) / 1000) - ahead;
  ahead += OLD_ENOUGH;
  await world.pass(OLD_ENOUGH);
  return latchkey.expect(200, 'POST', `/v1/connections/${id}/token`, { minimum_lifetime: life - IN_REACH });
}

before(async () => {
  farSide = await FarSide.listen();
  latchkey = await Latchkey.start('--login-host', farSide.issuer);
  farSide.serve(await syncApp(), latchkey.callback);
  world = new World(latchkey.salesforce);
});

after(async () => {
  await latchkey?.stop();
  await farSide?.stop();
});

beforeEach(() => {
  farSide.calls.length = 0;
  farSide.ended.length = 0;
});

/** Alice presses Connect, and goes on to the provider. */
async function leave(browser, choices = {}) {
  const { connect_url: link } = await latchkey.wish();
  const page = await browser.get(link);
  return page.press('Continue to Salesforce', { host: 'production', ...choices });
}

/** She signs in there, and stands before its consent page. */
async function signIn(login) {
  return login.press('Sign-in', { login: farSide.identity, password: 'any' });
}

/** The whole way, up to the product's return address. */
async function connect(browser = new Browser({ stopBefore: latchkey.returnTo })) {
  const consent = await signIn(await leave(browser));
  return consent.press('Continue');
}

/** An active connection of Alice's. */
async function connected() {
  return latchkey.redeem(await connect());
}

/** A browser that has approved, and the provider's answer that it is about to bring to Latchkey. */
async function approved() {
  const browser = new Browser({ stopBefore: latchkey.callback });
  const { url: callback } = await connect(browser);
  browser.stopBefore = latchkey.returnTo;
  return { browser, callback };
}

/** The trip ended on a help page in the product's brand. */
function isHelpPage(page) {
  assert.match(page.url.pathname, /^\/help\/fl_/, `${page.status} ${page.url.pathname} ${page.text}`);
  assert.equal(page.status, 200);
  assert.match(page.text, /Fernway/);
}

test('connects with PKCE S256 and hands out the very token that the provider issued', async () => {
  const browser = new Browser({ stopBefore: latchkey.returnTo });
  const connection = await latchkey.redeem(await connect(browser));

  const asked = browser.history.find(({ pathname }) => pathname === '/services/oauth2/authorize').searchParams;
  assert.equal(asked.get('code_challenge_method'), 'S256');
  assert.equal(asked.get('scope'), 'api refresh_token openid');
  assert.ok(asked.get('nonce'));

  const [exchange] = farSide.calls;
  assert.equal(exchange.error, undefined);
  assert.equal(farSide.calls.length, 1, 'one call of the token endpoint');
  assert.ok(!asked.has('code_verifier') && exchange.params.code_verifier);

  assert.equal(connection.state, 'active');
  assert.deepEqual([connection.org_id, connection.salesforce_user_id], [farSide.org, farSide.user]);
  assert.equal(connection.username, farSide.username);

  const token = await latchkey.token(connection.id);
  assert.equal(token.instance_url, farSide.instanceUrl);
  assert.ok(farSide.answers.at(-1).id_token, 'the provider gave an id_token, which was checked');
  const told = await farSide.introspect(token.access_token);
  assert.deepEqual([told.active, told.sub, told.scope], [true, farSide.identity, 'api refresh_token openid']);
  const userinfo = await fetch(`${farSide.issuer}/services/oauth2/userinfo`, {
    headers: { authorization: `Bearer ${token.access_token}` },
  });
  assert.deepEqual(await userinfo.json(), { sub: farSide.identity });
});

test('refreshes with the rotated token each time, so that reuse is never detected', async () => {
  const { id } = await connected();
  const tokens = [await latchkey.token(id)];
  const turns = [() => latchkey.tokenAfter(tokens[0].fingerprint, id), () => longerLived(id), () => longerLived(id)];
  for (const [turn, next] of turns.entries()) {
    tokens.push(await next());
    assert.equal(farSide.callsOf('refresh_token').length, turn + 1);
  }

  assert.equal(new Set(tokens.map((token) => token.access_token)).size, 4);
  const refreshes = farSide.callsOf('refresh_token');
  assert.equal(new Set(refreshes.map(({ params }) => params.refresh_token)).size, 3, 'each was sent once');
  assert.deepEqual(refreshes.map(({ error, params }) => [error, params.scope]), Array(3).fill([undefined, undefined]));
  assert.deepEqual(farSide.ended, []);
  assert.ok((await farSide.introspect(tokens.at(-1).access_token)).active);
});

test(`${CALLERS} callers with the same rejected token cause one refresh, and all get its token`, async () => {
  const { id } = await connected();
  const { fingerprint } = await latchkey.token(id);
  farSide.pause = REFRESH_TAKES_MS;

  const callers = Array.from({ length: CALLERS }, () => latchkey.tokenAfter(fingerprint, id));
  const tokens = await Promise.all(callers);

  assert.equal(farSide.callsOf('refresh_token').length, 1);
  const fresh = farSide.answers.at(-1).access_token;
  assert.deepEqual(new Set(tokens.map((token) => token.access_token)), new Set([fresh]));
  assert.deepEqual(farSide.ended, []);
});

test('a rotated token that somebody replays ends the grant, and Latchkey says who has to act', async () => {
  const { id } = await connected();
  const spent = farSide.answers.at(-1).refresh_token;
  const path = `/v1/connections/${id}/token`;
  const { fingerprint } = await longerLived(id);

  const replay = await farSide.ask({ grant_type: 'refresh_token', refresh_token: spent });
  assert.equal(replay.body.error, 'invalid_grant');
  assert.equal(farSide.ended.length, 1, 'this is what reuse detection looks like');

  const stopped = await latchkey.expect(409, 'POST', path, { rejected: fingerprint });
  assert.equal(stopped.type, 'urn:latchkey:problem:reauthorization-needed');
  const help = await new Browser().get(stopped.help_url);
  assert.equal(help.status, 200);
  assert.match(help.text, new RegExp(stopped.reference));
  assert.equal((await latchkey.expect(200, 'GET', `/v1/connections/${id}`)).state, 'needs_reauth');
});

test('deleting a connection ends its grant at the provider', async () => {
  const { id } = await connected();
  const { fingerprint, access_token: first } = await latchkey.token(id);
  const { access_token: access } = await latchkey.tokenAfter(fingerprint, id);
  const { refresh_token: refresh } = farSide.answers.at(-1);
  assert.ok((await farSide.introspect(access)).active && (await farSide.introspect(refresh)).active);

  await latchkey.expect(204, 'DELETE', `/v1/connections/${id}`);

  for (const token of [first, access, refresh]) {
    assert.deepEqual(await farSide.introspect(token), { active: false });
  }
  assert.equal(farSide.ended.length, 1);
  const late = await farSide.ask({ grant_type: 'refresh_token', refresh_token: refresh });
  assert.equal(late.body.error, 'invalid_grant');
  await latchkey.expect(404, 'GET', `/v1/connections/${id}/token`);
});

test('a callback counts in the browser that began, and in no other', async () => {
  const { browser, callback } = await approved();
  const other = await new Browser().get(callback);
  assert.equal(other.status, 403);
  assert.match(other.text, /the browser you started in/);
  assert.doesNotMatch(other.text, /alice|uma|005/i, 'it shows no identity');
  assert.equal(farSide.calls.length, 0, 'the code was not sent');

  await latchkey.redeem(await browser.get(callback));
});

test('a callback that comes again exchanges nothing and ends nothing', async () => {
  const { browser, callback } = await approved();
  const together = await Promise.all([browser.get(callback), browser.get(callback)]);
  const late = await browser.get(callback);

  assert.equal(farSide.calls.length, 1, 'of two callbacks at once, one claims the attempt');
  const pages = [...together, late];
  const receipts = new Set(pages.map((page) => page.url.searchParams.get('receipt')));
  assert.equal(receipts.size, 1, 'the same browser gets its one receipt again');
  const [back] = pages;
  const { id } = await latchkey.redeem(back);
  assert.ok((await farSide.introspect((await latchkey.token(id)).access_token)).active);
  assert.deepEqual(farSide.ended, [], 'the provider ends a grant whose code it sees twice');
});

test('a code of another attempt is refused by PKCE, and stays good where it belongs', async () => {
  const [mallory, alice] = [await approved(), await approved()];
  const injected = new URL(alice.callback);
  injected.searchParams.set('code', mallory.callback.searchParams.get('code'));

  isHelpPage(await alice.browser.get(injected));
  assert.deepEqual(farSide.calls.map(({ error }) => error), ['code_verifier does not match code_challenge']);

  await latchkey.redeem(await mallory.browser.get(mallory.callback));
});

test('the browser\'s session at the provider answers, unless the user asks for a fresh login', async () => {
  const browser = new Browser({ stopBefore: latchkey.returnTo });
  await latchkey.redeem(await connect(browser));

  await latchkey.redeem(await leave(browser));

  const login = await leave(browser, { fresh_login: 'yes' });
  assert.equal(login.url.origin, farSide.issuer);
  await latchkey.redeem(await signIn(login));
});

test('pressing Cancel at the provider leads to a help page', async () => {
  const consent = await signIn(await leave(new Browser()));
  isHelpPage(await consent.click('Cancel'));
  assert.equal(farSide.calls.length, 0);
});

/** Token answers that must not be believed, and the check that each fails. */
const LIES = [
  {
    what: 'an id_token with another signature',
    fails: 'its id_token fails the check of signature',
    tell(answer) {
      const [header, claims, signature] = answer.id_token.split('.');
      const other = signature.startsWith('A') ? 'B' : 'A';
      return { ...answer, id_token: [header, claims, other + signature.slice(1)].join('.') };
    },
  },
  {
    what: 'an id_token of an earlier attempt',
    fails: 'its id_token fails the check of nonce',
    tell: (answer) => ({ ...answer, id_token: farSide.answers[0].id_token }),
  },
  {
    what: 'an id_token of another user than the signed id',
    fails: 'its id_token fails the check of subject',
    tell(answer) {
      const id = answer.id.replace(farSide.user, '005gK0000000902QAA');
      return { ...answer, id, signature: sign(farSide.app.secret, id, answer.issued_at) };
    },
  },
  {
    what: 'a signature under another secret',
    fails: 'its signature does not match',
    kept: true, // a doubtful form: it is in quarantine for a day, then revoked
    tell: (answer) => ({ ...answer, signature: sign('another secret', answer.id, answer.issued_at) }),
  },
];

for (const { what, fails, tell, kept = false } of LIES) {
  test(`${what} is not believed: a help page, no connection, and the grant is ${kept ? 'kept sealed' : 'revoked'}`, async () => {
    const before = await latchkey.expect(200, 'GET', '/v1/connections');
    const logged = latchkey.log.length;
    farSide.twist = tell;

    isHelpPage(await connect());

    await latchkey.logs(fails, logged);
    assert.deepEqual(await latchkey.expect(200, 'GET', '/v1/connections'), before);
    assert.equal((await farSide.introspect(farSide.answers.at(-1).access_token)).active, kept);
  });
}

test('none of all this is in the log', async () => {
  await latchkey.stop();
  assert.match(latchkey.log, /revoked and deleted con_/, 'there is a log to look at');
  const secrets = farSide.answers.flatMap((answer) => [answer.access_token, answer.refresh_token, answer.id_token]);
  assert.ok(secrets.length > CALLERS);
  for (const secret of [...secrets, farSide.app.secret, latchkey.apiKey]) {
    assert.ok(!latchkey.log.includes(secret), 'a token or a secret is in the log');
  }
});
