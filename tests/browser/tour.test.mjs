import assert from 'node:assert/strict';

import { story } from './lib/story.mjs';
import { tour } from './lib/tour.mjs';

/** Salesforce's pages are not ours to judge. */
const look = async (person, name) => {
  if (name.startsWith('salesforce-')) await person.shows(name);
  else await person.meets(name);
  if (process.env.PICTURES && PICTURES[name]) await person.isPictured(...PICTURES[name]);
};

/** What the README shows of the tour: page, file, size. `PICTURES=yes tests/browser/run tour.test.mjs` */
const PICTURES = {
  'salesforce-error': ['error', { width: 1000, height: 420 }],
  connect: ['connect', { width: 720, height: 1200 }],
  help: ['help', { width: 1200, height: 800 }],
};

story('the tour: Salesforce’s own error page, back, the steps, Install, and the records', async ({ stack, person }) => {
  const [alice, ada] = [await person(), await person()];
  const { help, connectPage } = await tour(alice, ada, look);

  // Ada’s page turned green without being touched.
  await ada.sees('Connected. Nothing more to do.');
  assert.equal(ada.page.url(), `${help}#admin`);
  await ada.meets('help-resolved');
  await alice.open(connectPage);
  await alice.sees('Already connected');
  await alice.meets('notice-already-connected');

  const { connections } = await stack.call('/v1/connections');
  assert.deepEqual(connections.map(({ state, username }) => [state, username]), [['active', 'uma@acme.example']]);
});

story('the tour with scripts switched off', async ({ person }) => {
  const [alice, ada] = [await person({ scripts: false }), await person({ scripts: false })];
  const { help } = await tour(alice, ada, (someone, name) => someone.shows(name));
  await ada.open(help);
  await ada.sees('Connected. Nothing more to do.');
});
