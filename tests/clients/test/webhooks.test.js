// npm standardwebhooks, unchanged, against what Latchkey signs. A test of shared/webhooks holds the file to the code.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { mock, test } from 'node:test';

import { Webhook } from 'standardwebhooks';

const deliveries = JSON.parse(await readFile(new URL('../webhooks/deliveries.json', import.meta.url), 'utf8'));

const headers = (delivery) => ({
  'webhook-id': delivery.id,
  'webhook-timestamp': String(delivery.timestamp),
  'webhook-signature': delivery.signature,
});

const at = (seconds) => {
  mock.timers.reset();
  mock.timers.enable({ apis: ['Date'], now: seconds * 1000 });
};

for (const delivery of deliveries) {
  test(`${delivery.name}: accepted with each secret`, () => {
    at(delivery.timestamp + 2);
    for (const secret of delivery.secrets) {
      assert.deepEqual(new Webhook(secret).verify(delivery.body, headers(delivery)), JSON.parse(delivery.body));
    }
  });

  test(`${delivery.name}: another body, id, time or secret is refused`, () => {
    at(delivery.timestamp + 2);
    const webhook = new Webhook(delivery.secrets[0]);
    const refused = (body, changed) => assert.throws(() => webhook.verify(body, { ...headers(delivery), ...changed }));
    refused(`${delivery.body} `, {});
    refused(delivery.body, { 'webhook-id': 'evt_00000000000000000000000009' });
    refused(delivery.body, { 'webhook-timestamp': String(delivery.timestamp + 1) });
    refused(delivery.body, { 'webhook-signature': 'v1,AAAA' });
    const other = new Webhook(`whsec_${Buffer.alloc(32, 1).toString('base64')}`);
    assert.throws(() => other.verify(delivery.body, headers(delivery)));
  });

  test(`${delivery.name}: refused six minutes later`, () => {
    at(delivery.timestamp + 360);
    assert.throws(() => new Webhook(delivery.secrets[0]).verify(delivery.body, headers(delivery)));
  });
}
