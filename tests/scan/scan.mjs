// Foreign checkers over every page of the local stack: Google's csp_evaluator on each policy, the Nu Html Checker and every rule
// of axe-core on each page. `tests/scan/run` starts the stack. A finding that is not listed here, with its reason, fails; so does
// a page of `shared/web/src/routes.rs` that is not visited.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const require = createRequire(import.meta.url);
const browserTests = createRequire(new URL('../browser/', import.meta.url));
const axe = browserTests('axe-core');
const { chromium } = browserTests('playwright-core');
const { CspEvaluator } = require('csp_evaluator/dist/evaluator.js');
const { CspParser } = require('csp_evaluator/dist/parser.js');
const { Severity } = require('csp_evaluator/dist/finding.js');

const { latchkey: origin, product, api_keys: keys } = JSON.parse(readFileSync(process.argv[2], 'utf8').split('\n')[0]);
// Node does not know that names under .localhost are this machine.
const latchkey = origin.replace('latchkey.localhost', '127.0.0.1');
const call = async (path, body) => {
  const headers = { authorization: `Bearer ${keys.fernway}`, 'content-type': 'application/json' };
  const answer = await fetch(latchkey + path, { method: 'POST', headers, body: body && JSON.stringify(body) });
  if (answer.status !== 201) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
};
const wish = { app: 'sync', customer: { id: 'c-acme', name: 'Acme & Söhne <b>' }, user: 'u-alice', return_to: `${product}/salesforce/return` };
const form = { 'content-type': 'application/x-www-form-urlencoded', 'sec-fetch-site': 'same-origin' };

const post = (path, body, headers = {}) => fetch(latchkey + path, { method: 'POST', headers: { ...form, ...headers }, body, redirect: 'manual' });
const pathOf = (address) => new URL(address, latchkey).pathname;
const session = await call('/v1/connect-sessions', wish);
const link = pathOf(session.connect_url);
const told = async (text, app = 'sync') => {
  const key = pathOf((await call('/v1/connect-sessions', { ...wish, app })).connect_url);
  const answer = await post(`${key}/trouble`, `pasted=${encodeURIComponent(text)}`);
  return pathOf(answer.headers.get('location'));
};
const helps = [];
for (const text of [
  'error=OAUTH_APP_BLOCKED', 'Login History: Failed: Restricted IP', 'error=access_denied&error_description=end-user denied authorization',
  'error=redirect_uri_mismatch', 'error=temporarily_unavailable', 'nobody knows this text', 'app must be installed into org',
]) helps.push(await told(text));
helps.push(await told('app must be installed into org', 'insights'));
const door = pathOf((await call('/v1/ops-links')).url);
const used = pathOf((await call('/v1/ops-links')).url);
const entered = await post(used, '');
const cookie = entered.headers.get('set-cookie').split(';')[0];
const list = await (await fetch(`${latchkey}/ops/failures`, { headers: { cookie } })).text();
const customer = /\/ops\/customers\/[^"?]+/.exec(list)[0];
const reference = /LK-\w{4}-\w{4}/.exec(list)[0];

const pages = [
  ['GET', link], ['GET', `${link}/trouble`], ['GET', `${link}/confirm`], ['GET', '/connect/ck_nobody'],
  ['POST', link, 'host=my_domain&my_domain=evil.example'], ['POST', `${link}/trouble`, ''], ['POST', `${link}/confirm`, ''],
  ...helps.map((help) => ['GET', help]), ['POST', helps[0], 'pasted='], ['GET', '/help/fl_nobody'],
  ['GET', '/oauth/callback'], ['GET', '/oauth/callback?state=nobody&code=x'],
  ['GET', '/guides/fernway/sync'], ['GET', '/guides/fernway/sync/vendor'], ['GET', '/guides/fernway/insights'],
  ['GET', '/guides/fernway/insights/vendor'], ['GET', '/guides/fernway/insights/packaging'], ['GET', '/guides/nobody/nothing'],
  ['GET', door], ['GET', '/ops/sign-in/ol_nobody'], ['POST', used, ''], ['GET', '/ops'], ['GET', '/nothing'],
  ['GET', '/ops', undefined, cookie], ['GET', '/ops?days=90', undefined, cookie], ['GET', '/ops?days=8', undefined, cookie],
  ['GET', `/ops?ref=${reference}`, undefined, cookie], ['GET', '/ops?ref=LK-0000-0000', undefined, cookie],
  ['GET', '/ops/failures', undefined, cookie], ['GET', '/ops/failures?cause=app_blocked', undefined, cookie],
  ['GET', customer, undefined, cookie], ['POST', '/ops/search', 'q=nobody', cookie],
  // The last: it ends the session.
  ['POST', '/ops/sign-out', '', cookie],
];

// Routes that answer with no page.
const NO_PAGE = ['GET /help/{id}/status', 'GET /healthz'];
const routes = readFileSync(new URL('../../shared/web/src/routes.rs', import.meta.url), 'utf8');
const unvisited = [...routes.matchAll(/page\("(\w+)", "([^"]+)"/g)]
  .filter(([, method, path]) => !NO_PAGE.includes(`${method} ${path}`))
  .filter(([, method, path]) => {
    const form = new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+')}$`);
    return !pages.some(([its, address]) => its === method && form.test(address.split('?')[0]));
  })
  .map(([, method, path]) => `${method} ${path}: visited by nobody`);

// What is found and left, with the reason.
const LEFT_OF_CSP = [];
// Safari tells its screen reader of no list where `list-style` is `none`, unless the role says so.
const LEFT_OF_HTML = ['The “list” role is unnecessary for element “ol”.', 'The “list” role is unnecessary for element “ul”.'];
const evaluate = (policy) => new CspEvaluator(new CspParser(policy).csp).evaluate();
if (evaluate("script-src 'unsafe-inline' https:").length < 2) throw new Error('csp_evaluator finds nothing in a bad policy');

const folder = mkdtempSync(join(tmpdir(), 'scan-'));
const findings = [...unvisited];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
const screen = await browser.newPage();
/** Every rule of axe-core, on a desktop in light and dark, and on the narrowest phone. */
async function barriers(html) {
  const found = [];
  for (const [width, colorScheme] of [[1280, 'light'], [1280, 'dark'], [320, 'light']]) {
    await screen.setViewportSize({ width, height: 800 });
    await screen.emulateMedia({ colorScheme });
    await screen.setContent(html);
    await screen.evaluate(axe.source);
    const { violations } = await screen.evaluate(() => axe.run(document));
    found.push(...violations.map(({ id, nodes }) => `axe-core, ${width} ${colorScheme}: ${id}: ${nodes.map(({ target }) => target).join(' ')}`));
  }
  return found;
}
for (const [number, [method, path, body, cookies]] of pages.entries()) {
  const headers = { ...(method === 'POST' ? form : {}), ...(cookies ? { cookie: cookies } : {}) };
  const answer = await fetch(latchkey + path, { method, headers, body, redirect: 'manual' });
  const shown = `${method} ${path.replace(/(ck|ol|fl)_[\w-]{12,}/, '$1_…')} ${answer.status}`;
  // A redirect has no page.
  if (answer.status >= 300 && answer.status < 400) continue;
  const policy = answer.headers.get('content-security-policy');
  if (!policy) findings.push(`${shown}: no Content-Security-Policy`);
  for (const finding of evaluate(policy ?? '')) {
    if (finding.severity === Severity.NONE || LEFT_OF_CSP.some((left) => finding.description.includes(left))) continue;
    findings.push(`${shown}: csp_evaluator, ${finding.directive} ${finding.value ?? ''}: ${finding.description}`);
  }
  const html = await answer.text();
  findings.push(...(await barriers(html)).map((barrier) => `${shown}: ${barrier}`));
  writeFileSync(join(folder, `${String(number).padStart(2, '0')}.html`), html);
}
await browser.close();

const jar = new URL('node_modules/vnu-jar/build/dist/vnu.jar', import.meta.url).pathname;
const said = execFileSync('java', ['-jar', jar, '--format', 'json', '--exit-zero-always', '--stdout', folder], { maxBuffer: 1e8 });
for (const message of JSON.parse(said).messages) {
  const page = pages[Number(message.url.match(/(\d+)\.html/)[1])];
  if (LEFT_OF_HTML.some((left) => message.message.includes(left))) continue;
  findings.push(`${page[0]} ${page[1].replace(/(ck|ol|fl)_[\w-]{12,}/, '$1_…')}: vnu ${message.type}: ${message.message}`);
}

for (const finding of new Set(findings)) console.log(finding);
console.log(`${pages.length} pages, ${new Set(findings).size} findings`);
process.exitCode = findings.length ? 1 : 0;
