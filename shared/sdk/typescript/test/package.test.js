// The package as npm would publish it, installed into an empty project.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const bin = (name) => join(ROOT, 'node_modules/.bin', name);

/** Maximum size of what is loaded, in bytes. */
const MAX_CODE = 50_000;
/** Maximum lines of integration, and their columns. */
const [MAX_LINES, MAX_COLUMNS] = [12, 100];

let project;
let tarball;
let files;

before(async () => {
  project = await mkdtemp(join(tmpdir(), 'latchkey-sdk-'));
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', project], { cwd: ROOT });
  const [packed] = JSON.parse(stdout);
  tarball = join(project, packed.filename);
  files = packed.files.map(({ path }) => path);
  await writeFile(join(project, 'package.json'), '{"name": "empty", "private": true, "type": "module"}');
  // Offline: there is nothing else to fetch.
  await run('npm', ['install', '--offline', '--no-audit', '--no-fund', tarball], { cwd: project });
});

after(() => rm(project, { recursive: true, force: true }));

test('it has no dependencies, and nothing but code, types, README and license', async () => {
  const { dependencies, peerDependencies } = JSON.parse(await readFile(join(project, 'node_modules/latchkey-sdk/package.json'), 'utf8'));
  assert.deepEqual([dependencies, peerDependencies], [undefined, undefined]);
  const other = files.filter((path) => !/^dist\/\w+\.(js|d\.ts)$/.test(path));
  assert.deepEqual(other.sort(), ['LICENSE', 'README.md', 'package.json']);
  const { stdout } = await run('npm', ['ls', '--all', '--parseable'], { cwd: project });
  assert.equal(stdout.trim().split('\n').length, 2, 'the project and the package');
});

test('it is small, and uses nothing of Node', async () => {
  let size = 0;
  for (const path of files.filter((name) => name.endsWith('.js'))) {
    const file = join(ROOT, path);
    size += (await stat(file)).size;
    if (path !== 'dist/localhost.js') assert.doesNotMatch(await readFile(file, 'utf8'), /from 'node:|require\(|Buffer\./, path);
  }
  assert.ok(size < MAX_CODE, `${size} bytes`);
});

test('publint and attw find nothing', async () => {
  await run(bin('publint'), ['--strict', tarball], { cwd: ROOT });
  await run(bin('attw'), [tarball, '--profile', 'esm-only', '--no-emoji'], { cwd: ROOT });
});

test('an empty project imports it, with types', async () => {
  await writeFile(join(project, 'use.js'), `
    import { Latchkey } from 'latchkey-sdk';
    import { jsforceOptions } from 'latchkey-sdk/jsforce';
    import { verifyWebhook } from 'latchkey-sdk/webhooks';
    import 'latchkey-sdk/localhost';
    console.log(typeof Latchkey, typeof jsforceOptions, typeof verifyWebhook);
  `);
  assert.equal((await run('node', ['use.js'], { cwd: project })).stdout, 'function function function\n');
  await writeFile(join(project, 'use.ts'), `
    import { Latchkey, ProblemError, ReauthorizationNeededError, type Connection } from 'latchkey-sdk';
    const latchkey = new Latchkey({ url: 'https://connect.example', apiKey: 'lk_key' });
    export async function accounts(connection: Connection): Promise<string | undefined> {
      try {
        return await latchkey.withSalesforce(connection, async (fetch) => (await fetch('/x')).text());
      } catch (error) {
        if (error instanceof ReauthorizationNeededError) {
          return (await latchkey.connectSessions.create(error.reconnect.body)).connect_url;
        }
        if (error instanceof ProblemError && error.actor === 'admin') return error.helpUrl;
        throw error;
      }
    }
    // @ts-expect-error: there is no such state
    export const isDead = (connection: Connection) => connection.state === 'dead';
  `);
  const flags = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--target', 'es2022', '--lib', 'es2022,dom', '--types', ''];
  for (const module of [['nodenext', 'nodenext'], ['esnext', 'bundler']]) {
    await run(bin('tsc'), [...flags, '--module', module[0], '--moduleResolution', module[1], 'use.ts'], { cwd: project });
  }
});

test('the example has at most twelve lines', async () => {
  const text = await readFile(join(ROOT, 'examples/records.js'), 'utf8');
  const lines = text.split('\n').filter((line) => line.trim() && !/^(\/\/|import )/.test(line));
  assert.ok(lines.length <= MAX_LINES, `${lines.length} lines`);
  assert.ok(lines.every((line) => line.length <= MAX_COLUMNS));
});
