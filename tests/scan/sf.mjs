// The commands of the guide on packaging, given to Salesforce CLI itself: it knows each command and each flag, and stops only
// because no org is signed in. By hand, with the CLI from npm: `node tests/scan/sf.mjs path/to/@salesforce/cli`
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const cli = join(process.argv[2], 'bin/run.js');
const guide = new URL('../../shared/diagnosis/catalogue/guides/packaging.toml', import.meta.url);
const copies = [...readFileSync(guide, 'utf8').matchAll(/^copy = (".*")$/gm)].map(([, text]) => JSON.parse(text));
const lines = copies.flatMap((text) => text.split('\n')).map((line) => line.replaceAll('{app}', 'Fernway Insights').replaceAll('04t…', '04tFW0000001AbCYAU'));
const env = { ...process.env, SF_DISABLE_TELEMETRY: 'true', SF_AUTOUPDATE_DISABLE: 'true', BROWSER: 'none', HOME: mkdtempSync(join(tmpdir(), 'sf-')) };
const said = (args, cwd) => {
  const { stdout, stderr } = spawnSync(process.execPath, [cli, ...args], { cwd, env, encoding: 'utf8', timeout: 120_000 });
  return stdout + stderr;
};

let cwd = env.HOME;
let wrong = 0;
for (const line of lines) {
  if (line.startsWith('cd ')) cwd = join(cwd, line.slice(3));
  if (!line.startsWith('sf ')) {
    // A step of the shell's own: what it is called on is there.
    if (line.includes('>>')) wrong += spawnSync('sh', ['-c', `test -f .forceignore && ${line}`], { cwd }).status ? 1 : 0;
    continue;
  }
  const args = line.match(/"[^"]*"|\S+/g).slice(1).map((part) => part.replaceAll('"', ''));
  const at = args.findIndex((part) => part.startsWith('--'));
  const help = said([...args.slice(0, at), '--help'], cwd);
  const unknown = args.filter((part) => part.startsWith('--') && !help.includes(part));
  // A sign-in would open a browser and wait.
  const answer = args.includes('login') ? '' : said(args, cwd);
  const refused = /Nonexistent flag|Missing required flag|not a sf command|Expected --|has been deprecated/i.exec(help + answer);
  const stops = answer.split('\n').find((text) => /error/i.test(text)) ?? (args.includes('login') ? 'not run' : 'ran');
  console.log(`${unknown.length || refused ? 'WRONG' : 'ok'}: ${line}\n    ${stops.trim()} ${unknown.join(' ')} ${refused ?? ''}`);
  wrong += unknown.length || refused ? 1 : 0;
}
console.log(`${lines.length} lines, ${wrong} wrong`);
process.exitCode = wrong ? 1 : 0;
