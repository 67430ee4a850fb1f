"""PyPI standardwebhooks, unchanged, against what Latchkey signs. A test of shared/webhooks holds the file to the code."""

import base64
import json
from datetime import datetime, timezone
from pathlib import Path

import pytest
from standardwebhooks import webhooks

DELIVERIES = json.loads((Path(__file__).parent.parent / "webhooks/deliveries.json").read_text())


class Clock(datetime):
    """The library reads this clock."""

    seconds = 0

    @classmethod
    def now(cls, tz=None):
        return datetime.fromtimestamp(cls.seconds, tz or timezone.utc)


@pytest.fixture(params=DELIVERIES, ids=lambda delivery: delivery["name"])
def delivery(request, monkeypatch):
    monkeypatch.setattr(webhooks, "datetime", Clock)
    Clock.seconds = request.param["timestamp"] + 2
    return request.param


def headers(delivery, **changed):
    given = {
        "webhook-id": delivery["id"],
        "webhook-timestamp": str(delivery["timestamp"]),
        "webhook-signature": delivery["signature"],
    }
    return {**given, **{f"webhook-{name}": value for name, value in changed.items()}}


def test_delivery_is_accepted_with_each_secret(delivery):
    for secret in delivery["secrets"]:
        verified = webhooks.Webhook(secret).verify(delivery["body"], headers(delivery))
        assert verified == json.loads(delivery["body"])


@pytest.mark.parametrize(
    "changed", [{"id": "evt_00000000000000000000000009"}, {"timestamp": "1764522001"}, {"signature": "v1,AAAA"}]
)
def test_changed_header_is_refused(delivery, changed):
    with pytest.raises(webhooks.WebhookVerificationError):
        webhooks.Webhook(delivery["secrets"][0]).verify(delivery["body"], headers(delivery, **changed))


def test_other_body_and_other_secret_are_refused(delivery):
    with pytest.raises(webhooks.WebhookVerificationError):
        webhooks.Webhook(delivery["secrets"][0]).verify(delivery["body"] + " ", headers(delivery))
    other = "whsec_" + base64.b64encode(bytes([1]) * 32).decode()
    with pytest.raises(webhooks.WebhookVerificationError):
        webhooks.Webhook(other).verify(delivery["body"], headers(delivery))


def test_old_delivery_is_refused(delivery):
    Clock.seconds = delivery["timestamp"] + 360
    with pytest.raises(webhooks.WebhookVerificationError):
        webhooks.Webhook(delivery["secrets"][0]).verify(delivery["body"], headers(delivery))
