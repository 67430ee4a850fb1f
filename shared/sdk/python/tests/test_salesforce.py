"""Salesforce with tokens from Latchkey: 401s, caches, origins. Each test runs with both clients."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import httpx
import pytest

from conftest import CONNECTION, KEY, problem, token
from latchkey_sdk import AsyncLatchkey, Latchkey, LatchkeyTimeoutError, OtherOriginError, ProblemError, UsageError, _tokens

CALLERS = 50


@pytest.fixture
def org_that_accepts(serve):
    """A Salesforce that answers 401 to each token but the one with this number, and echoes other requests."""

    def start(number):
        def answer(asked, _):
            if asked.token != f"Bearer secret-token-{number}":
                return 401, [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]
            return 200, {"method": asked.method, "path": asked.path, "body": asked.body.decode()}

        return serve(answer)

    return start


def get_x(salesforce):
    return salesforce.get("/x").status_code


def test_paths_are_relative_to_the_instance(org_that_accepts, latchkey_of, client):
    org = org_that_accepts(1)
    latchkey = client(latchkey_of(org.origin))

    def work(salesforce):
        for address in ("/a?q=1", "a?q=1", f"{org.origin}/a?q=1"):
            assert salesforce.get(address).json()["path"] == "/a?q=1"
        headers = {"authorization": "Bearer of-somebody-else"}
        posted = salesforce.post("/b", json={"x": 1}, headers=headers, auth=("user", "password")).json()
        assert posted == {"method": "POST", "path": "/b", "body": '{"x":1}'}
        return "done"

    connection = type("Connection", (), {"id": "con_1"})()
    assert latchkey.with_salesforce(connection, work) == "done"


def test_401_is_reported_and_repeats_that_one_request(org_that_accepts, latchkey_of, client):
    org = org_that_accepts(2)
    server = latchkey_of(org.origin)
    ran = []

    def work(salesforce):
        ran.append(1)
        return [salesforce.post("/write", content=b"once").json()["body"], salesforce.put("/again", content="two").json()["body"]]

    assert client(server).with_salesforce("con_1", work) == ["once", "two"]
    assert (ran, server.reports) == ([1], ["print-1"])
    assert [asked.path for asked in org.asked] == ["/write", "/write", "/again"]


def test_fifty_callers_with_a_401_cause_one_report(org_that_accepts, latchkey_of, client):
    org = org_that_accepts(2)
    server = latchkey_of(org.origin, delay=0.02)
    latchkey = client(server)
    with ThreadPoolExecutor(CALLERS) as callers:
        statuses = set(callers.map(lambda _: latchkey.with_salesforce("con_1", get_x), range(CALLERS)))
    assert statuses == {200}
    assert server.reports == ["print-1"]
    assert len(server.asked) == 2, "one call for the token, one for its successor"


def test_401_storm_ends(org_that_accepts, serve, client):
    org = org_that_accepts("none")
    why = {"cause": "ip_restricted", "help_url": "https://help"}

    def answer(asked, _):
        rejected = (asked.json or {}).get("rejected")
        if rejected == "print-2":
            return problem(409, "tokens-rejected", why)
        return 200, token(org.origin, 2 if rejected else 1)

    server = serve(answer)
    latchkey = client(server)

    def work(_):
        with pytest.raises(ProblemError) as raised:
            latchkey.with_salesforce("con_1", get_x)
        return raised.value.type, raised.value.cause, raised.value.help_url

    with ThreadPoolExecutor(CALLERS) as callers:
        assert set(callers.map(work, range(CALLERS))) == {("tokens-rejected", "ip_restricted", "https://help")}
    assert len(org.asked) <= 2 * CALLERS
    assert len(server.asked) == 3


def test_second_401_is_the_answer_if_there_is_a_third_token(org_that_accepts, latchkey_of, client):
    org = org_that_accepts("none")
    server = latchkey_of(org.origin)
    assert client(server).with_salesforce("con_1", get_x) == 401
    assert (server.reports, len(org.asked)) == (["print-1", "print-2"], 2)


def test_rejected_token_whose_report_failed_is_reported_again(org_that_accepts, serve, client, monkeypatch):
    monkeypatch.setattr(_tokens, "SHARE_REFUSAL", 0.0)
    org = org_that_accepts(2)
    reports = []

    def answer(asked, _):
        rejected = (asked.json or {}).get("rejected")
        reports.extend([rejected] if rejected else [])
        if reports == ["print-1"]:
            return problem(409, "vendor-incident")
        return 200, token(org.origin, 2 if rejected else 1)

    latchkey = client(serve(answer))
    with pytest.raises(ProblemError) as raised:
        latchkey.with_salesforce("con_1", get_x)
    assert raised.value.actor == "vendor"
    assert latchkey.with_salesforce("con_1", get_x) == 200
    assert reports == ["print-1", "print-1"]


def test_stream_is_not_repeated(org_that_accepts, latchkey_of, client):
    org = org_that_accepts(2)
    server = latchkey_of(org.origin)

    def stream():
        yield b"streamed"

    async def async_stream():
        yield b"streamed"

    make = stream if client.kind == "sync" else async_stream

    def work(salesforce):
        assert salesforce.post("/x", content=make()).status_code == 401
        return salesforce.post("/x", content=make()).json()["body"]

    assert client(server).with_salesforce("con_1", work) == "streamed"
    assert server.reports == ["print-1"]


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
def test_other_answer_is_not_repeated(serve, latchkey_of, client, status):
    org = serve(lambda *_: (status, []))
    server = latchkey_of(org.origin)
    assert client(server).with_salesforce("con_1", get_x) == status
    assert (len(org.asked), server.reports) == (1, [])


def test_no_other_origin_gets_anything(serve, org_that_accepts, latchkey_of, client):
    other, org = serve(lambda *_: (200, {})), org_that_accepts(1)
    host = other.origin.removeprefix("http://")
    addresses = [f"{other.origin}/x", org.origin.replace("http", "https") + "/x", f"http://user@{host}/"]

    def work(salesforce):
        for address in addresses:
            with pytest.raises(OtherOriginError):
                salesforce.get(address)
        # httpx keeps the base's host here.
        return salesforce.get(f"//{host}/x").status_code

    assert client(latchkey_of(org.origin)).with_salesforce("con_1", work) == 200
    assert (len(other.asked), len(org.asked)) == (0, 1)


def test_redirect_to_another_origin_takes_nothing_there(serve, latchkey_of, client):
    other = serve(lambda *_: (200, {}))
    targets = {"/away": f"{other.origin}/x", "/here": "/end"}

    def answer(asked, _):
        location = targets.get(asked.path)
        return (307, b"", {"location": location}) if location else (200, {"token": asked.token})

    def work(salesforce):
        assert salesforce.post("/away", content="x").status_code == 307
        with pytest.raises(OtherOriginError):
            salesforce.post("/away", content="x", follow_redirects=True)
        return salesforce.get("/here", follow_redirects=True).json()["token"]

    latchkey = client(latchkey_of(serve(answer).origin))
    assert latchkey.with_salesforce("con_1", work) == "Bearer secret-token-1"
    assert other.asked == []


def test_org_that_has_moved_is_called_at_its_new_address(org_that_accepts, serve, client):
    before, after = org_that_accepts("none"), org_that_accepts(2)
    server = serve(lambda asked, _: (200, token(after.origin, 2) if asked.body else token(before.origin, 1)))

    def work(salesforce):
        assert salesforce.get(f"{before.origin}/x?y=1").json()["path"] == "/x?y=1"
        return salesforce.get(f"{after.origin}/z").status_code

    assert client(server).with_salesforce("con_1", work) == 200
    assert (len(before.asked), len(after.asked)) == (1, 2)
    assert after.asked[0].headers["host"] == after.origin.removeprefix("http://")


@pytest.mark.parametrize("instance", ["http://acme.my.salesforce.com", "javascript:alert(1)", "not an address"])
def test_token_is_sent_over_https_alone(latchkey_of, client, instance):
    with pytest.raises(UsageError):
        client(latchkey_of(instance)).with_salesforce("con_1", lambda _: pytest.fail("it ran"))


def test_token_is_used_for_a_minute_at_most(latchkey_of, client, monkeypatch):
    now = [time.monotonic()]

    class Clock:
        @staticmethod
        def monotonic():
            return now[0]

    server = latchkey_of("https://acme.example")
    latchkey = client(server)
    monkeypatch.setattr(_tokens, "time", Clock)
    for passed, calls in ((0, 1), (59.9, 1), (0.2, 2)):
        now[0] += passed
        latchkey.tokens.get("con_1")
        assert len(server.asked) == calls
    with pytest.raises(UsageError):
        client(server, token_cache=61)


@pytest.mark.parametrize(("seconds", "calls"), [(-1, 3), (0.2, 2), (60, 1)])
def test_token_is_never_cached_beyond_its_expiry(latchkey_of, client, seconds, calls):
    expires = (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    server = latchkey_of("https://acme.example", expires_at=expires)
    latchkey = client(server)
    latchkey.tokens.get("con_1")
    if seconds == 0.2:
        time.sleep(0.3)
        latchkey.tokens.get("con_1")
    else:
        latchkey.tokens.get("con_1")
        latchkey.tokens.get("con_1")
    assert len(server.asked) == calls


def test_token_that_has_to_live_longer_is_asked_for(latchkey_of, client):
    server = latchkey_of("https://acme.example")
    latchkey = client(server)
    latchkey.tokens.get("con_1")
    latchkey.tokens.get("con_1", minimum_lifetime=600)
    assert len(server.asked) == 1
    latchkey.tokens.get("con_1", minimum_lifetime=3600, wait=15)
    assert (server.asked[1].path, server.asked[1].json) == ("/v1/connections/con_1/token?wait=15", {"minimum_lifetime": 3600})


def test_connections_do_not_share_tokens_and_a_deleted_or_renewed_one_has_none(serve, client):
    def answer(asked, _):
        if asked.method == "DELETE":
            return 204, b""
        return 200, CONNECTION if "redeem" in asked.path else token("https://acme.example", asked.path)

    server = serve(answer)
    latchkey = client(server)
    assert latchkey.tokens.get("con_1").access_token != latchkey.tokens.get("con_2").access_token
    latchkey.connections.delete("con_1")
    latchkey.tokens.get("con_1")
    latchkey.connect_sessions.redeem("cs_1", receipt="r", user="u")
    latchkey.tokens.get("con_1")
    latchkey.tokens.get("con_2")
    assert len(server.asked) == 6


def test_failed_call_is_not_kept(serve, client):
    server = serve(lambda _, count: problem(409, "blocked-by-org") if count == 1 else (200, token("https://acme.example", 1)))
    latchkey = client(server)
    with pytest.raises(ProblemError) as raised:
        latchkey.tokens.get("con_1")
    assert raised.value.actor == "admin"
    assert latchkey.tokens.get("con_1").fingerprint == "print-1"


def test_old_answer_does_not_replace_a_token_that_was_reported_meanwhile(serve, client):
    hold = threading.Event()

    def answer(asked, _):
        if asked.body:
            return 200, token("https://acme.example", 2)
        hold.wait(10)
        return 200, token("https://acme.example", 1)

    server = serve(answer)
    latchkey = client(server)
    with ThreadPoolExecutor(1) as other:
        slow = other.submit(latchkey.tokens.get, "con_1")
        while not server.asked:
            time.sleep(0.01)
        assert latchkey.tokens.replace("con_1", "print-1").fingerprint == "print-2"
        hold.set()
        slow.result()
    assert latchkey.tokens.get("con_1").fingerprint == "print-2"


def test_late_report_makes_no_call(org_that_accepts, latchkey_of, client):
    server = latchkey_of("https://acme.example")
    latchkey = client(server)
    latchkey.tokens.get("con_1")
    assert latchkey.tokens.replace("con_1", "print-1").fingerprint == "print-2"
    assert latchkey.tokens.replace("con_1", "print-1").fingerprint == "print-2"
    assert server.reports == ["print-1"]


def test_canceled_caller_does_not_end_the_call_of_the_others(latchkey_of):
    server = latchkey_of("https://acme.example", delay=0.2)

    async def work():
        async with AsyncLatchkey(server.origin, KEY) as latchkey:
            first = asyncio.create_task(latchkey.tokens.get("con_1"))
            second = asyncio.create_task(latchkey.tokens.get("con_1"))
            await asyncio.sleep(0.05)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            return (await second).fingerprint

    assert asyncio.run(work()) == "print-1"
    assert len(server.asked) == 1


def test_waiting_for_another_callers_token_has_a_limit(latchkey_of, client):
    server = latchkey_of("https://acme.example", delay=0.5)
    latchkey = client(server)
    with ThreadPoolExecutor(1) as other:
        slow = other.submit(latchkey.tokens.get, "con_1")
        while not server.asked:
            time.sleep(0.01)
        with pytest.raises(LatchkeyTimeoutError):
            latchkey.tokens.get("con_1", timeout=0.05)
        assert slow.result().fingerprint == "print-1"


def test_slow_salesforce_is_a_timeout(serve, latchkey_of, client):
    org = serve(lambda *_: time.sleep(1) or (200, {}))
    for options, call in (({"salesforce_timeout": 0.1}, {}), ({}, {"timeout": 0.1})):
        with pytest.raises(httpx.ReadTimeout):
            client(latchkey_of(org.origin), **options).with_salesforce("con_1", get_x, **call)


class Proofs:
    """As a DPoP signer does: a proof for one method and address, with the nonce of the last answer."""

    nonce = "n0"

    def make(self, request):
        proof = f"proof {request.method} {request.url} {self.nonce}"
        return {"Authorization": f"DPoP {request.token.access_token}", "DPoP": proof}

    def learn(self, response):
        following = response.headers.get("dpop-nonce")
        is_new = following is not None and following != self.nonce
        self.nonce = following or self.nonce
        return is_new


class Signer(Proofs):
    def headers(self, request):
        return self.make(request)

    def wants_repeat(self, response, request):
        return self.learn(response)


class AsyncSigner(Proofs):
    async def headers(self, request):
        return self.make(request)

    async def wants_repeat(self, response, request):
        return self.learn(response)


def test_signer_makes_the_headers_and_can_answer_a_nonce(serve, latchkey_of, client):
    def answer(asked, _):
        if asked.headers["dpop"] != f"proof GET {org.origin}/x n1":
            return 401, {}, {"dpop-nonce": "n1"}
        return 200, {"token": asked.token}

    org = serve(answer)
    server = latchkey_of(org.origin)
    latchkey = client(server, signer=Signer() if client.kind == "sync" else AsyncSigner())
    assert latchkey.with_salesforce("con_1", lambda salesforce: salesforce.get("/x").json()) == {"token": "DPoP secret-token-1"}
    assert (server.reports, len(org.asked)) == ([], 2)


def test_client_is_closed_and_can_be_had_again(org_that_accepts, latchkey_of):
    org = org_that_accepts(1)
    with Latchkey(latchkey_of(org.origin).origin, KEY) as latchkey:
        for _ in range(2):
            with latchkey.salesforce("con_1") as salesforce:
                assert salesforce.get("/x").status_code == 200
            with pytest.raises(RuntimeError):
                salesforce.get("/x")
