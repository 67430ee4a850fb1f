// A Connect button and Salesforce records on screen: LATCHKEY_URL=… LATCHKEY_API_KEY=… node records.js <return address>,
// one of your product's return addresses that leads here. User and customer are those of your own login session.
import { createServer } from 'node:http';
import { argv } from 'node:process';
import { Latchkey } from 'latchkey-sdk';

const latchkey = new Latchkey();
const query = `/services/data/v62.0/query?q=${encodeURIComponent('SELECT Name FROM Account')}`;
const wish = { app: 'sync', user: 'u1', customer: { id: 'c1', name: 'Acme' }, return_to: argv[2] };

createServer(async ({ url, headers }, response) => {
  const returned = { session: headers.cookie?.split('=')[1], user: wish.user };
  const connection = await latchkey.connectSessions.redeemReturn(url, returned);
  if (!connection) {
    const { id, connect_url: location } = await latchkey.connectSessions.create(wish);
    return response.writeHead(303, { location, 'set-cookie': `session=${id}; HttpOnly` }).end();
  }
  response.end(await latchkey.withSalesforce(connection, async (get) => (await get(query)).text()));
}).listen(new URL(wish.return_to).port);
