// Servers in the test's process: they answer what a test tells them, and remember what they were asked.

import { createServer } from 'node:http';

const running = new Set();

/** A server on a free port. `answer(request, response, body)` answers; `asked` lists what came. */
export async function serve(answer) {
  const asked = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    asked.push({ method: request.method, path: request.url, headers: request.headers, body });
    await answer(request, response, body, asked.length);
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  const stop = () => {
    server.closeAllConnections();
    server.close();
    running.delete(stop);
  };
  running.add(stop);
  return { origin: `http://127.0.0.1:${server.address().port}`, asked, stop };
}

/** Ends every server that a test started. */
export function stopAll() {
  for (const stop of running) stop();
}

export function json(response, status, body, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

export function problem(response, status, type, more = {}, headers = {}) {
  const document = { type: `urn:latchkey:problem:${type}`, title: `title of ${type}`, status, ...more };
  response.writeHead(status, { 'content-type': 'application/problem+json', ...headers }).end(JSON.stringify(document));
}

/** The answer to a token call. */
export function token(instance, number, more = {}) {
  return {
    connection_id: 'con_1',
    access_token: `secret-token-${number}`,
    token_type: 'Bearer',
    instance_url: instance,
    scopes: ['api'],
    scopes_missing: [],
    issued_at: new Date().toISOString(),
    expires_at: new Date(Date.now() + 900_000).toISOString(),
    expires_at_basis: 'app_policy',
    fingerprint: `print-${number}`,
    state: 'active',
    ...more,
  };
}

/** A Latchkey whose tokens are numbered: a report of the current one makes the next. */
export async function latchkeyOf(instance, { more = {}, delayMs = 0 } = {}) {
  const state = { number: 1, reports: [] };
  const server = await serve(async (request, response, body) => {
    await new Promise((done) => setTimeout(done, delayMs));
    const { rejected } = body ? JSON.parse(body) : {};
    if (rejected) state.reports.push(rejected);
    if (rejected === `print-${state.number}`) state.number += 1;
    json(response, 200, token(instance(), state.number, more));
  });
  return Object.assign(server, state, { state });
}
