// A connect link of the local stack, for a scanner.
import { readFileSync } from 'node:fs';

const { latchkey, product, api_keys: keys } = JSON.parse(readFileSync(process.argv[2], 'utf8').split('\n')[0]);
const here = (url) => url.replace('latchkey.localhost', '127.0.0.1');
const answer = await fetch(here(`${latchkey}/v1/connect-sessions`), {
  method: 'POST',
  headers: { authorization: `Bearer ${keys.fernway}`, 'content-type': 'application/json' },
  body: JSON.stringify({ app: 'sync', customer: { id: 'c-scan' }, user: 'u-scan', return_to: `${product}/salesforce/return` }),
});
console.log(here((await answer.json()).connect_url));
