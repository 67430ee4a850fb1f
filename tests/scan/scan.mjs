// Foreign checkers over every page of the local stack: Google's csp_evaluator on each policy, the Nu Html Checker on each
// page. `tests/scan/run` starts the stack. A finding that is not listed here, with its reason, fails.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const require = createRequire(import.meta.url);
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

const session = await call('/v1/connect-sessions', wish);
const link = new URL(session.connect_url).pathname;
const told = await fetch(`${latchkey}${link}/trouble`, { method: 'POST', headers: form, body: 'pasted=error%3DOAUTH_APP_BLOCKED', redirect: 'manual' });
const help = new URL(told.headers.get('location'), latchkey).pathname;
const door = new URL((await call('/v1/ops-links')).url).pathname;
const entered = await fetch(latchkey + new URL((await call('/v1/ops-links')).url).pathname, { method: 'POST', headers: form, redirect: 'manual' });
const cookie = entered.headers.get('set-cookie').split(';')[0];

const pages = [
  ['GET', link], ['GET', `${link}/trouble`], ['GET', `${link}/confirm`], ['GET', '/connect/ck_nobody'],
  ['POST', link, 'host=my_domain&my_domain=evil.example'], ['POST', `${link}/trouble`, ''], ['GET', help],
  ['GET', '/help/fl_nobody'], ['GET', '/oauth/callback'], ['GET', '/oauth/callback?state=nobody&code=x'],
  ['GET', '/guides/fernway/sync'], ['GET', '/guides/fernway/sync/vendor'], ['GET', '/guides/fernway/insights'],
  ['GET', '/guides/nobody/nothing'], ['GET', door], ['GET', '/ops/sign-in/ol_nobody'], ['GET', '/ops'],
  ['GET', '/ops', undefined, cookie], ['GET', '/ops?days=8', undefined, cookie], ['GET', '/nothing'],
];

// What is found and left, with the reason.
const LEFT_OF_CSP = [];
// Safari tells its screen reader of no list where `list-style` is `none`, unless the role says so.
const LEFT_OF_HTML = ['The “list” role is unnecessary for element “ol”.', 'The “list” role is unnecessary for element “ul”.'];
const evaluate = (policy) => new CspEvaluator(new CspParser(policy).csp).evaluate();
if (evaluate("script-src 'unsafe-inline' https:").length < 2) throw new Error('csp_evaluator finds nothing in a bad policy');

const folder = mkdtempSync(join(tmpdir(), 'scan-'));
const findings = [];
for (const [number, [method, path, body, cookies]] of pages.entries()) {
  const headers = { ...(method === 'POST' ? form : {}), ...(cookies ? { cookie: cookies } : {}) };
  const answer = await fetch(latchkey + path, { method, headers, body, redirect: 'manual' });
  const shown = `${method} ${path.replace(/(ck|ol|fl)_[\w-]{12,}/, '$1_…')} ${answer.status}`;
  const policy = answer.headers.get('content-security-policy');
  if (!policy) findings.push(`${shown}: no Content-Security-Policy`);
  for (const finding of evaluate(policy ?? '')) {
    if (finding.severity === Severity.NONE || LEFT_OF_CSP.some((left) => finding.description.includes(left))) continue;
    findings.push(`${shown}: csp_evaluator, ${finding.directive} ${finding.value ?? ''}: ${finding.description}`);
  }
  writeFileSync(join(folder, `${String(number).padStart(2, '0')}.html`), await answer.text());
}

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
