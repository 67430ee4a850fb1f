"""Calls of Latchkey: retries, timeouts, odd answers, paging. Each test runs with both clients."""

import inspect
import logging
import re
import time
import traceback
from pathlib import Path
from typing import get_args
from urllib.parse import parse_qsl, urlsplit

import pytest

from conftest import CONNECTION, EVENT, KEY, SESSION, Drop, problem, token
from latchkey_sdk import (
    LatchkeyTimeoutError,
    ProblemError,
    ReauthorizationNeededError,
    UnexpectedAnswerError,
    UnreachableError,
    UsageError,
    types,
)


def query(asked):
    return dict(parse_qsl(urlsplit(asked.path).query))


def test_call_carries_the_key_and_ignores_unknown_members(serve, client):
    server = serve(lambda *_: (200, {**CONNECTION, "unknown": "member"}))
    connection = client(server).connections.get("con_1")
    assert (connection.id, connection.customer.name, connection.retrying) == ("con_1", "Acme", None)
    assert (server.asked[0].path, server.asked[0].token) == ("/v1/connections/con_1", f"Bearer {KEY}")


def test_address_with_a_path_is_kept(serve, client):
    server = serve(lambda *_: (200, {"connections": []}))
    client(f"{server.origin}/base/").connections.list(customer="a&b=c/ü", limit=5)
    assert server.asked[0].path.startswith("/base/v1/connections?")
    assert query(server.asked[0]) == {"customer": "a&b=c/ü", "limit": "5"}


def test_503_and_429_are_retried_after_retry_after_with_one_key(serve, client):
    def answer(_, count):
        if count == 1:
            return problem(503, "unavailable", headers={"retry-after": "1"})
        return (429, {"message": "Too Many Requests"}) if count == 2 else (201, SESSION)

    server = serve(answer)
    began = time.monotonic()
    assert client(server).connect_sessions.create(user="u-1", customer={"id": "c-1"}).id == "cs_1"
    assert time.monotonic() - began >= 1
    keys = {asked.headers["idempotency-key"] for asked in server.asked}
    assert (len(server.asked), len(keys)) == (3, 1)
    assert None not in keys


def test_retries_end(serve, client):
    server = serve(lambda *_: (429, {"message": "Too Many Requests"}))
    with pytest.raises(ProblemError) as raised:
        client(server, max_retries=1).connections.list()
    assert (raised.value.status, raised.value.type, raised.value.actor) == (429, None, "wait")
    assert len(server.asked) == 2


def test_wait_that_is_too_long_is_left_to_the_caller(serve, client):
    more = {"cause": "org_busy", "reference": "LK-1234-5678", "help_url": "https://connect.example/help/fl_1"}
    server = serve(lambda *_: problem(503, "token-not-ready", more, {"retry-after": "120"}))
    with pytest.raises(ProblemError) as raised:
        client(server).tokens.get("con_1")
    error = raised.value
    assert (error.type, error.retry_after, error.actor) == ("token-not-ready", 120, "wait")
    assert (error.cause, error.help_url, error.reference) == tuple(more[name] for name in ("cause", "help_url", "reference"))
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "bad-request"), (401, "unauthorized"), (404, "not-found"), (409, "receipt-used"), (429, "too-many-reports"), (500, "x")],
)
def test_answer_is_not_retried(serve, client, status, kind):
    server = serve(lambda *_: problem(status, kind, headers={"retry-after": "0"}))
    with pytest.raises(ProblemError) as raised:
        client(server).connections.report_failure("con_1", code="X")
    assert (raised.value.status, raised.value.type, len(server.asked)) == (status, kind, 1)


def drop(*_):
    raise Drop


def test_call_whose_repeat_may_do_harm_is_not_repeated(serve, client):
    server = serve(drop)
    latchkey = client(server)
    for call in (latchkey.events.send_test, latchkey.ops_links.create):
        with pytest.raises(UnreachableError):
            call()
    assert len(server.asked) == 2


def test_lost_answer_of_a_redeem_is_asked_for_again(serve, client):
    server = serve(lambda _, count: drop() if count == 1 else (200, CONNECTION))
    assert client(server).connect_sessions.redeem("cs_1", receipt="r", user="u-1").id == "con_1"
    assert len(server.asked) == 2


def test_return_is_redeemed_only_by_the_browser_that_has_the_session(serve, client):
    server = serve(lambda *_: (200, CONNECTION))
    sessions = client(server).connect_sessions
    addresses = ["/r", "/r?connect_session=cs_1", "/r?receipt=r", "/r?connect_session=cs_2&receipt=r", "/r?connect_session=&receipt="]
    for address in addresses:
        for session in ("cs_1", None, ""):
            assert sessions.redeem_return(address, session=session, user="u-1") is None
    assert server.asked == []
    address = "https://app.example/r?connect_session=cs_1&receipt=r%2B1"
    assert sessions.redeem_return(address, session="cs_1", user="u-1").id == "con_1"
    assert server.asked[0].json == {"receipt": "r+1", "user": "u-1"}


def test_deleted_connection_stays_deleted_if_the_first_answer_was_lost(serve, client):
    server = serve(lambda _, count: drop() if count == 1 else problem(404, "not-found"))
    assert client(server).connections.delete("con_1") == "deleted"
    with pytest.raises(ProblemError):
        client(serve(lambda *_: problem(404, "not-found"))).connections.delete("con_1")
    assert client(serve(lambda *_: (202, b""))).connections.delete("con_1") == "revoking"


def test_import_that_is_under_way_is_sent_again(serve, client):
    imported = {**CONNECTION, "rotated": True, "renewed": False, "same_as": []}
    later = problem(409, "import-under-way", headers={"retry-after": "0"})
    server = serve(lambda _, count: later if count == 1 else (200, imported))
    call = client(server).connections.import_token
    assert call(refresh_token="r", user="u", customer={"id": "c"}, environment="production").rotated is True


def slow(*_):
    time.sleep(3)
    return 200, CONNECTION


def test_slow_answers_end_with_the_attempt_or_the_call(serve, client):
    server = serve(slow)
    with pytest.raises(LatchkeyTimeoutError):
        client(server, attempt_timeout=0.3, max_retries=1).connections.get("con_1")
    assert len(server.asked) == 2
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        client(server).connections.get("con_1", timeout=0.1)
    assert time.monotonic() - began < 2.5


@pytest.mark.parametrize(
    "body", [b"<h1>hello</h1>", b"[]", b"null", b"", b"{}", b'{"id": 5}', b"\xff\xfe", b'"text"'], ids=repr
)
def test_odd_answer_is_an_error_of_its_own(serve, client, body):
    latchkey = client(serve(lambda *_: (200, body)))
    calls = [
        lambda: latchkey.connections.get("con_1"),
        lambda: latchkey.tokens.get("con_1"),
        lambda: latchkey.connections.list(),
        lambda: latchkey.events.list(),
    ]
    for call in calls:
        with pytest.raises(UnexpectedAnswerError):
            call()


def test_optional_member_of_another_type_counts_as_left_out(serve, client):
    odd = {**CONNECTION, "username": 7, "retrying": [], "failure": {}}
    connection = client(serve(lambda *_: (200, odd))).connections.get("con_1")
    assert (connection.username, connection.retrying, connection.failure) == (None, None, None)
    for member in ("id", "customer", "scopes", "created_at"):
        for wrong in (None, 5, {}, [5], True):
            latchkey = client(serve(lambda *_, odd={**CONNECTION, member: wrong}: (200, odd)))
            with pytest.raises(UnexpectedAnswerError, match=member):
                latchkey.connections.get("con_1")


@pytest.mark.parametrize("body", [b"<h1>Bad Gateway</h1>", b"[1]", b'{"type": 5, "title": null}', b'{"type": "x"}', b""])
def test_odd_error_answer_is_a_problem_without_a_type(serve, client, body):
    with pytest.raises(ProblemError) as raised:
        client(serve(lambda *_: (500, body))).connections.get("con_1")
    assert (raised.value.status, raised.value.type) == (500, None)


def test_members_of_a_problem_that_have_another_type_are_left_out(serve, client):
    odd = {"detail": 7, "cause": ["x"], "help_url": None, "reconnect": "POST", "incident": [], "actor": {}}
    with pytest.raises(ProblemError) as raised:
        client(serve(lambda *_: problem(409, "reauthorization-needed", odd))).connections.get("con_1")
    error = raised.value
    assert not isinstance(error, ReauthorizationNeededError)
    assert (error.detail, error.cause, error.help_url, error.incident, error.actor) == (None, None, None, None, "end_user")


def test_connection_that_has_to_be_authorized_again_brings_the_call(serve, client):
    body = {"connection_id": "con_1", "user": "u-1", "return_to": "https://app.example/return"}
    reconnect = {"method": "POST", "path": "/v1/connect-sessions", "body": body}
    incident = {"id": "inc_1", "scope": "org", "since": "2026-11-30T15:04:05Z"}
    more = {"cause": "revoked", "reconnect": reconnect, "incident": incident}
    server = serve(lambda asked, _: problem(409, "reauthorization-needed", more) if asked.method == "GET" else (201, SESSION))
    latchkey = client(server)
    with pytest.raises(ReauthorizationNeededError) as raised:
        latchkey.tokens.get("con_1")
    assert (raised.value.actor, raised.value.cause, raised.value.incident.scope) == ("end_user", "revoked", "org")
    assert latchkey.connect_sessions.create(**raised.value.reconnect).connect_url == SESSION["connect_url"]
    assert server.asked[1].json == body


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_key_follows_no_redirect(serve, client, status):
    other = serve(lambda *_: (200, CONNECTION))
    server = serve(lambda *_: (status, b"", {"location": other.origin}))
    with pytest.raises(UnexpectedAnswerError):
        client(server).connections.get("con_1")
    assert other.asked == []


@pytest.mark.parametrize(
    "url", ["http://connect.example", "ftp://connect.example", "connect.example", "http://localhost.evil.example", "https://", "https://user:password@connect.example"]
)
def test_key_is_sent_over_https_alone(client, url):
    with pytest.raises(UsageError):
        client(url)


@pytest.mark.parametrize("url", ["https://connect.example", "http://latchkey.localhost:7400", "http://127.0.0.1:7400", "http://[::1]:7400"])
def test_https_and_this_machine_are_accepted(client, url):
    client(url)


def test_names_below_localhost_are_this_machine(serve, client):
    server = serve(lambda *_: (200, CONNECTION))
    port = server.origin.rsplit(":", 1)[1]
    client(f"http://latchkey.localhost:{port}").connections.get("con_1")
    assert server.asked[0].headers["host"] == f"latchkey.localhost:{port}"


def test_id_cannot_lead_to_another_call(serve, client):
    server = serve(lambda *_: (200, CONNECTION))
    latchkey = client(server)
    for name in ("", "..", ".", "a/b", "a?b", "a#b", "%2e%2e", "a b", "a\n", None, 5):
        with pytest.raises(UsageError):
            latchkey.connections.get(name)
        with pytest.raises(UsageError):
            latchkey.tokens.get(name)
    assert server.asked == []


def test_nothing_secret_is_printed(serve, client, caplog):
    def answer(asked, _):
        if "token" in asked.path:
            return 200, token("https://acme.example", 1)
        return (201, SESSION) if asked.method == "POST" else (500, {})

    caplog.set_level(logging.DEBUG)
    latchkey = client(serve(answer))
    shown, created = latchkey.tokens.get("con_1"), latchkey.connect_sessions.create(user="u-1")
    with pytest.raises(ProblemError) as raised:
        latchkey.connections.get("con_1")
    inner = latchkey if client.kind == "sync" else latchkey._inner
    parts = [repr(part) for part in (inner, shown, created, raised.value, vars(inner), vars(inner._transport))]
    parts += traceback.format_exception(raised.value) + [caplog.text]
    for secret in (KEY, "secret-token-1", "secret-link"):
        assert not any(secret in part for part in parts), secret
    assert (shown.access_token, created.connect_url) == ("secret-token-1", SESSION["connect_url"])


def test_key_that_is_none_is_not_repeated(client):
    from latchkey_sdk import Latchkey

    with pytest.raises(UsageError) as raised:
        Latchkey("https://connect.example", f"{KEY}\n")
    assert KEY not in str(raised.value)


def test_network_error_says_its_kind_alone(serve, client):
    server = serve(drop)
    server.stop()
    with pytest.raises(UnreachableError) as raised:
        client(server, max_retries=0).connections.get("con_1")
    assert raised.value.__cause__ is None
    assert str(raised.value) == "Latchkey cannot be reached: ConnectError"


def test_lists_are_followed_to_the_last_page(serve, client):
    pages = {None: ("a", "p2"), "p2": (None, "p3"), "p3": ("b", None)}

    def answer(asked, _):
        name, following = pages[query(asked).get("after")]
        return 200, {"connections": [{**CONNECTION, "id": name}] if name else [], "next": following}

    server = serve(answer)
    found = client(server).connections.iterate(customer="c-1", limit=1)
    assert [connection.id for connection in found] == ["a", "b"]
    filters = {"customer": "c-1", "limit": "1"}
    assert [query(asked) for asked in server.asked] == [filters, {**filters, "after": "p2"}, {**filters, "after": "p3"}]


def test_filters_of_failures_have_the_names_of_the_api(serve, client):
    server = serve(lambda *_: (200, {"failures": []}))
    assert list(client(server).failures.iterate(resolved=False, start="2026-11-01T00:00:00Z", end="2026-12-01T00:00:00Z")) == []
    assert query(server.asked[0]) == {"resolved": "false", "from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z"}


def test_list_that_never_goes_on_ends_with_an_error(serve, client):
    same = {"connections": [], "events": [], "next": "same", "has_more": True}
    server = serve(lambda *_: (200, same))
    for found in (client(server).connections.iterate, client(server).events.pages):
        with pytest.raises(UnexpectedAnswerError):
            list(found())
    assert len(server.asked) == 4


def test_feed_is_read_until_nothing_is_left(serve, client):
    following = {"n0": "n1", "n1": "n2", "n2": "n3"}

    def answer(asked, _):
        after = query(asked)["after"]
        is_last = after == "n2"
        return 200, {"events": [] if is_last else [EVENT], "next": following[after], "has_more": not is_last}

    server = serve(answer)
    pages = list(client(server).events.pages(after="n0", types=["connection.blocked", "session.failed"]))
    assert [page.next for page in pages] == ["n1", "n2", "n3"]
    assert query(server.asked[0]) == {"after": "n0", "types": "connection.blocked,session.failed"}


def test_event_is_sent_again_to_one_endpoint(serve, client):
    server = serve(lambda *_: (202, {**EVENT, "deliveries": []}))
    assert client(server).events.redeliver("evt_1", endpoint="backend").deliveries == []
    assert (server.asked[0].path, server.asked[0].json) == ("/v1/events/evt_1/redeliver", {"endpoint": "backend"})


def test_types_are_those_of_the_documentation():
    docs = Path(__file__).resolve().parents[4] / "docs"
    problems = re.findall(r"^\| `([a-z-]+)` \| \d{3} \|", (docs / "api.md").read_text(), re.MULTILINE)
    events = re.findall(r"^\| `([a-z]+\.[a-z_]+)` \|", (docs / "api.md").read_text(), re.MULTILINE)
    assert len(problems) > 20
    assert sorted(get_args(types.ProblemType)) == sorted(problems)
    assert sorted(get_args(types.EventType)) == sorted(events)
    # The TypeScript SDK lists the same.
    source = (docs.parent / "shared/sdk/typescript/src/types.ts").read_text()
    for name, words in (("ProblemType", problems), ("EventType", events)):
        listed = source.split(f"export type {name} =")[1].split(";")[0]
        assert sorted(re.findall(r"'([^']+)'", listed)) == sorted(words)


def test_both_clients_have_the_same_calls():
    from latchkey_sdk import _async_resources, _resources

    names = [name for name, cls in vars(_resources).items() if inspect.isclass(cls) and cls.__module__ == _resources.__name__]
    assert len(names) == 6
    for name in names:
        one, other = getattr(_resources, name), getattr(_async_resources, f"Async{name}")
        methods = [method for method in vars(one) if not method.startswith("_")]
        assert methods == [method for method in vars(other) if not method.startswith("_")]
        for method in methods:
            parameters = [inspect.signature(getattr(cls, method)).parameters for cls in (one, other)]
            assert list(parameters[0]) == list(parameters[1])


def test_async_calls_are_those_that_the_tool_writes():
    import runpy
    from pathlib import Path

    root = Path(__file__).resolve().parents[1]
    tool = runpy.run_path(str(root / "tools/make_async.py"))
    package = root / "src/latchkey_sdk"
    written = (package / "_async_resources.py").read_text()
    assert tool["make_async"]((package / "_resources.py").read_text()) == written
