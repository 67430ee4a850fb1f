"""Webhook deliveries: what is accepted, refused, handled once and ignored. Both receivers."""

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from latchkey_sdk import AsyncWebhookReceiver, UsageError, WebhookReceiver, WebhookVerificationError, verify_webhook, webhooks

OLD = "whsec_" + base64.b64encode(bytes([7]) * 32).decode()
NEW = "whsec_" + base64.b64encode(bytes([9]) * 32).decode()
DELIVERIES = Path(__file__).resolve().parents[4] / "tests/clients/webhooks/deliveries.json"
count = itertools.count(1)


def change(sequence, **more):
    data = {"product": "p", "connection_id": "con_1", "sequence": sequence, **more}
    return {"id": f"evt_{next(count)}", "type": "connection.blocked", "version": 1, "timestamp": "2026-11-30T15:04:05Z", "data": data}


def delivery(event, signing=(OLD,), at=None):
    at, body = int(time.time()) if at is None else at, json.dumps(event).encode()
    signed = f"{event['id']}.{at}.".encode() + body

    def sign(secret):
        digest = hmac.new(base64.b64decode(secret[6:]), signed, hashlib.sha256).digest()
        return "v1," + base64.b64encode(digest).decode()

    signature = " ".join(sign(secret) for secret in signing)
    return {"Webhook-Id": event["id"], "Webhook-Timestamp": str(at), "Webhook-Signature": signature}, body


@pytest.fixture(params=["sync", "async"])
def receiver(request):
    """A receiver whose `handle` blocks."""

    def make(**options):
        if request.param == "sync":
            return WebhookReceiver(secret=OLD, **options).handle
        inner = AsyncWebhookReceiver(secret=OLD, **options)

        def handle(headers, body, handler):
            async def call(event):
                handler(event)

            return asyncio.run(inner.handle(headers, body, call))

        return handle

    return make


def test_delivery_is_accepted_with_each_secret_of_a_rotation():
    event = change(1)
    for signing in ((OLD,), (NEW,), (OLD, NEW)):
        headers, body = delivery(event, signing)
        for secret in (OLD, NEW, [OLD, NEW], (NEW, OLD)):
            known = [secret] if isinstance(secret, str) else secret
            if set(signing) & set(known):
                assert verify_webhook(headers, body, secret=secret).data.sequence == 1
            else:
                with pytest.raises(WebhookVerificationError):
                    verify_webhook(headers, body, secret=secret)


def test_what_latchkey_signs_is_accepted(monkeypatch):
    deliveries = [each for each in json.loads(DELIVERIES.read_text()) if each["body"] != "{}"]
    assert len(deliveries) >= 2
    for each in deliveries:
        monkeypatch.setattr(webhooks.time, "time", lambda at=each["timestamp"]: at + 2)
        headers = {"webhook-id": each["id"], "webhook-timestamp": str(each["timestamp"]), "webhook-signature": each["signature"]}
        for secret in each["secrets"]:
            assert verify_webhook(headers, each["body"], secret=secret).id == each["id"]
            assert verify_webhook(headers, each["body"].encode(), secret=secret).type == json.loads(each["body"])["type"]


def test_anything_that_was_changed_is_refused():
    headers, body = delivery(change(1))
    signature = headers["Webhook-Signature"]
    random = "v1," + base64.b64encode(secrets.token_bytes(32)).decode()
    changes = [{"Webhook-Id": "evt_other"}, {"Webhook-Timestamp": str(int(headers["Webhook-Timestamp"]) + 1)}]
    changes += [{"Webhook-Signature": text} for text in ("", "v1,", "v1,AAAA", "v1,%%%", "v1,\u00e9", signature[3:], signature.replace("v1", "v2"), random)]
    changes += [{"Webhook-Timestamp": text} for text in ("", "now", "-1", "1e9", "inf", "0x10", "\u0661")]
    changes += [{name.lower(): value} for name, value in headers.items()]
    for changed in changes:
        with pytest.raises(WebhookVerificationError):
            verify_webhook({**headers, **changed}, body, secret=OLD)
    for name in headers:
        with pytest.raises(WebhookVerificationError):
            verify_webhook({given: headers[given] for given in headers if given != name}, body, secret=OLD)
    with pytest.raises(WebhookVerificationError):
        verify_webhook(headers, body + b" ", secret=OLD)


@pytest.mark.parametrize(("age", "tolerance", "is_accepted"), [(290, 300, True), (310, 300, False), (-310, 300, False), (310, 600, True), (20, 10, False)])
def test_delivery_that_is_too_old_or_too_early_is_refused(age, tolerance, is_accepted):
    headers, body = delivery(change(1), at=int(time.time()) - age)
    if is_accepted:
        verify_webhook(headers, body, secret=OLD, tolerance=tolerance)
    else:
        with pytest.raises(WebhookVerificationError):
            verify_webhook(headers, body, secret=OLD, tolerance=tolerance)


@pytest.mark.parametrize("event", [{"id": "evt_1"}, {"id": "evt_1", "type": 5, "data": {}}, {"id": "evt_1", "type": "x", "data": None}])
def test_body_that_is_no_event_is_refused_though_it_is_signed(event):
    headers, body = delivery(event)
    with pytest.raises(WebhookVerificationError):
        verify_webhook(headers, body, secret=OLD)


def test_body_of_another_event_is_refused_though_it_is_signed():
    event = change(1)
    headers, body = delivery({**event, "id": "evt_0"})
    signed = f"evt_9.{headers['Webhook-Timestamp']}.".encode() + body
    digest = hmac.new(base64.b64decode(OLD[6:]), signed, hashlib.sha256).digest()
    changed = {"Webhook-Id": "evt_9", "Webhook-Signature": "v1," + base64.b64encode(digest).decode()}
    with pytest.raises(WebhookVerificationError):
        verify_webhook({**headers, **changed}, body, secret=OLD)


@pytest.mark.parametrize("secret", ["", [], "whsec_", "whsec_%secret%", [OLD, "whsec_!"]])
def test_secret_that_is_none_is_refused_at_once(secret):
    for cls in (WebhookReceiver, AsyncWebhookReceiver):
        with pytest.raises(UsageError) as raised:
            cls(secret=secret)
        assert "%secret%" not in str(raised.value)


def test_event_is_handled_once_also_if_two_deliveries_come_together():
    receiver, event, seen = WebhookReceiver(secret=OLD), change(1), []

    def handler(found):
        time.sleep(0.05)
        seen.append(found.id)

    with ThreadPoolExecutor(2) as threads:
        outcomes = list(threads.map(lambda _: receiver.handle(*delivery(event), handler), range(2)))
    assert sorted(outcomes) == ["duplicate", "handled"]
    assert seen == [event["id"]]


def test_event_is_handled_once_by_tasks_that_run_together():
    async def work():
        receiver, event, seen = AsyncWebhookReceiver(secret=OLD), change(1), []

        async def handler(found):
            await asyncio.sleep(0.05)
            seen.append(found.id)

        outcomes = await asyncio.gather(*(receiver.handle(*delivery(event), handler) for _ in range(3)))
        return outcomes, seen, event["id"]

    outcomes, seen, name = asyncio.run(work())
    assert (outcomes, seen) == (["handled", "duplicate", "duplicate"], [name])


def test_event_whose_handler_failed_is_handled_when_it_comes_again(receiver):
    handle, event = receiver(), change(1)

    def fail(_):
        raise OSError("the database is away")

    with pytest.raises(OSError, match="away"):
        handle(*delivery(event), fail)
    assert handle(*delivery(event), lambda _: None) == "handled"
    assert handle(*delivery(event), fail) == "duplicate"


def test_lower_sequence_of_the_same_connection_is_ignored(receiver):
    handle = receiver()
    events = [change(4), change(3), change(4), change(1, connection_id="con_2"), {**change(1), "type": "session.failed"}, change(None), change(5)]
    outcomes = [handle(*delivery(event), lambda _: None) for event in events]
    assert outcomes == ["handled", "outdated", "handled", "handled", "handled", "handled", "handled"]


def test_store_of_your_own_is_asked_and_told():
    saved = []

    class Store:
        def has_handled(self, event_id):
            return event_id == "evt_seen"

        def highest_sequence(self, connection_id):
            return 7

        def save(self, *row):
            saved.append(row)

    receiver = WebhookReceiver(secret=OLD, store=Store())
    old, following = change(6), change(8)
    assert receiver.handle(*delivery({**change(9), "id": "evt_seen"}), pytest.fail) == "duplicate"
    assert receiver.handle(*delivery(old), pytest.fail) == "outdated"
    assert receiver.handle(*delivery(following), lambda _: None) == "handled"
    assert saved == [(old["id"], "con_1", 6), (following["id"], "con_1", 8)]


def test_memory_forgets_the_oldest(monkeypatch):
    monkeypatch.setattr(webhooks, "MAX_REMEMBERED", 2)
    store = webhooks.MemoryStore()
    for number in range(4):
        store.save(f"evt_{number}", f"con_{number}", number)
    assert [store.has_handled(f"evt_{number}") for number in range(4)] == [False, False, True, True]
    assert [store.highest_sequence(f"con_{number}") for number in range(4)] == [None, None, 2, 3]


def test_receiver_keeps_no_lock_of_what_is_done():
    receiver = WebhookReceiver(secret=OLD)
    receiver.handle(*delivery(change(1)), lambda _: None)
    assert receiver._queues == {}
