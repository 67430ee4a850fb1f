// A live token for the product: the read that functions/token makes while the token is fresh.
import { DynamoDBClient, GetItemCommand } from "@aws-sdk/client-dynamodb";
import { GetSecretValueCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { createDecipheriv, createHash, hkdfSync, timingSafeEqual } from "node:crypto";

const TableName = process.env.TABLE_NAME;
const dynamodb = new DynamoDBClient({});
const secrets = new SecretsManagerClient({});

const PRODUCT_AGE = 60_000;
const MARGIN = 60_000;
const products = new Map();
let keyring;

async function product(id) {
  const held = products.get(id);
  if (held && Date.now() < held.readAt + PRODUCT_AGE) return held.product;
  const Key = { pk: { S: `PRODUCT#${id}` }, sk: { S: "PRODUCT" } };
  const { Item } = await dynamodb.send(new GetItemCommand({ TableName, Key }));
  const product = Item && JSON.parse(Item.config.S);
  products.set(id, { readAt: Date.now(), product });
  return product;
}

async function connection(id) {
  const Key = { pk: { S: `CONNECTION#${id}` }, sk: { S: "CONNECTION" } };
  return (await dynamodb.send(new GetItemCommand({ TableName, Key, ConsistentRead: true }))).Item;
}

function keys() {
  keyring ??= secrets
    .send(new GetSecretValueCommand({ SecretId: process.env.KEYRING_SECRET_ID }))
    .then(({ SecretString }) => JSON.parse(SecretString));
  return keyring;
}

function lengthPrefixed(...parts) {
  return Buffer.concat(
    parts.flatMap((part) => {
      const bytes = Buffer.from(part);
      const length = Buffer.alloc(8);
      length.writeBigUInt64BE(BigInt(bytes.length));
      return [length, bytes];
    }),
  );
}

function open(keyring, product, id, sealed) {
  const [version, text] = sealed.split(".");
  const bytes = Buffer.from(text, "base64");
  const key = hkdfSync("sha256", keyring[version], "latchkey", lengthPrefixed("seal", product, id), 32);
  const cipher = createDecipheriv("aes-256-gcm", Buffer.from(key), bytes.subarray(0, 12));
  cipher.setAAD(lengthPrefixed(product, id, "access_token", version));
  cipher.setAuthTag(bytes.subarray(-16));
  return cipher.update(bytes.subarray(12, -16), undefined, "utf8") + cipher.final("utf8");
}

function answer(statusCode, body) {
  const headers = { "content-type": "application/json", "cache-control": "no-store" };
  return { statusCode, headers, body: JSON.stringify(body), isBase64Encoded: false };
}

export async function handler(event) {
  const key = event.headers.authorization?.replace(/^Bearer /, "") ?? "";
  const [, claimed] = key.split("_");
  const id = event.pathParameters.id;
  // Nothing here waits for anything else.
  const [found, item, ring] = await Promise.all([product(claimed), connection(id), keys()]);

  const digest = createHash("sha256").update(key).digest("base64url");
  const admitted = found?.api_keys.some((key) => timingSafeEqual(Buffer.from(key.hash), Buffer.from(digest)));
  if (!admitted) return answer(401, { title: "Unauthorized" });
  if (item?.product.S !== claimed) return answer(404, { title: "No such connection" });
  const expires = Number(item.expires_at.N);
  if (item.state.S !== "active" || Date.now() + MARGIN >= expires) return answer(503, { title: "Not fresh" });
  const app = found.apps.find((app) => app.id === item.app.S);
  const scopes = item.scopes.S.split(" ");
  return answer(200, {
    connection_id: id,
    access_token: open(ring, claimed, id, item.access_token.S),
    token_type: "Bearer",
    instance_url: item.instance_url.S,
    scopes,
    scopes_missing: app.scopes.filter((scope) => !scopes.includes(scope)),
    issued_at: new Date(Number(item.issued_at.N)).toISOString(),
    expires_at: new Date(expires).toISOString(),
    fingerprint: item.access_fingerprint.S,
    state: item.state.S,
  });
}
