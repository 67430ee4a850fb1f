"""A live token for the product: the read that functions/token makes while the token is fresh."""

import base64
import hashlib
import hmac
import json
import os
import time
from datetime import datetime, timezone

import boto3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

TABLE = os.environ["TABLE_NAME"]
PRODUCT_AGE = 60
MARGIN = 60

dynamodb = boto3.client("dynamodb")
secrets = boto3.client("secretsmanager")

products = {}
keyring = {}


def get(kind, id, consistently):
    key = {"pk": {"S": f"{kind}#{id}"}, "sk": {"S": kind}}
    return dynamodb.get_item(TableName=TABLE, Key=key, ConsistentRead=consistently).get("Item")


def product(id):
    read_at, held = products.get(id, (0, None))
    if time.monotonic() < read_at + PRODUCT_AGE and held:
        return held
    item = get("PRODUCT", id, False)
    held = item and json.loads(item["config"]["S"])
    products[id] = (time.monotonic(), held)
    return held


def keys():
    if not keyring:
        answer = secrets.get_secret_value(SecretId=os.environ["KEYRING_SECRET_ID"])
        keyring.update(json.loads(answer["SecretString"]))
    return keyring


def length_prefixed(*parts):
    return b"".join(len(part.encode()).to_bytes(8, "big") + part.encode() for part in parts)


def opened(product, id, sealed):
    version, text = sealed.split(".")
    sealed = base64.b64decode(text + "=" * (-len(text) % 4))
    info = length_prefixed("seal", product, id)
    key = HKDF(SHA256(), 32, b"latchkey", info).derive(keys()[version].encode())
    bound = length_prefixed(product, id, "access_token", version)
    return AESGCM(key).decrypt(sealed[:12], sealed[12:], bound).decode()


def answer(status, body):
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    return {"statusCode": status, "headers": headers, "body": json.dumps(body), "isBase64Encoded": False}


def rfc3339(millis):
    return datetime.fromtimestamp(int(millis) / 1000, timezone.utc).isoformat()


def handler(event):
    key = event["headers"].get("authorization", "").removeprefix("Bearer ")
    claimed = key.split("_")[1] if key.count("_") >= 2 else ""
    id = event["pathParameters"]["id"]
    digest = base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()).decode().rstrip("=")

    found = product(claimed)
    if not found or not any(hmac.compare_digest(known["hash"], digest) for known in found["api_keys"]):
        return answer(401, {"title": "Unauthorized"})
    item = get("CONNECTION", id, True)
    if not item or item["product"]["S"] != claimed:
        return answer(404, {"title": "No such connection"})
    expires = int(item["expires_at"]["N"])
    if item["state"]["S"] != "active" or (time.time() + MARGIN) * 1000 >= expires:
        return answer(503, {"title": "Not fresh"})
    app = next(app for app in found["apps"] if app["id"] == item["app"]["S"])
    scopes = item["scopes"]["S"].split()
    return answer(
        200,
        {
            "connection_id": id,
            "access_token": opened(claimed, id, item["access_token"]["S"]),
            "token_type": "Bearer",
            "instance_url": item["instance_url"]["S"],
            "scopes": scopes,
            "scopes_missing": [scope for scope in app["scopes"] if scope not in scopes],
            "issued_at": rfc3339(item["issued_at"]["N"]),
            "expires_at": rfc3339(expires),
            "fingerprint": item["access_fingerprint"]["S"],
            "state": item["state"]["S"],
        },
    )
