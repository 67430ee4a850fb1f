"""The Python SDK (shared/sdk/python) against the local stack, and its example as it stands."""

import asyncio
import os
import re
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
import requests

from latchkey import ROOT, Browser, Latchkey, sync_app_key

SDK = ROOT / "shared/sdk/python"
sys.path.insert(0, str(SDK / "src"))

from latchkey_sdk import AsyncLatchkey, ProblemError, ReauthorizationNeededError  # noqa: E402
from latchkey_sdk import Latchkey as Client  # noqa: E402
from latchkey_sdk.simple_salesforce import salesforce_client  # noqa: E402

CALLERS = 50
ACCOUNTS = "/services/data/v62.0/query?q=SELECT+Name+FROM+Account+ORDER+BY+Name"
NAMES = ["Acme Corporation Headquarters", "Initech", "Umbrella Logistics"]
STARTS_WITHIN_S = 30


@pytest.fixture
def sdk(latchkey):
    with Client(latchkey.origin, latchkey.api_key) as client:
        yield client


@pytest.fixture
def connection(latchkey, sdk):
    return connect(latchkey, sdk, another=True)


def connect(latchkey, sdk, **more):
    """A user connects Acme as uma, and the product redeems what the browser brought."""
    wish = {"app": "sync", "user": "u-alice", "customer": {"id": "c-acme", "name": "Acme Corporation"}}
    session = sdk.connect_sessions.create(**{**wish, "return_to": latchkey.return_to, **more})
    address = approve(session.connect_url, latchkey.return_to).address
    connected = sdk.connect_sessions.redeem_return(address, session=session.id, user="u-alice")
    assert sdk.connect_sessions.get(session.id).status == "connected"
    latchkey.world("DELETE", "calls")
    return connected


def approve(link, stop_before):
    browser = Browser(stop_before)
    browser.get(link)
    browser.submit(host="production")
    browser.submit(username="uma@acme.example")
    # Salesforce asks for consent once.
    if not browser.stopped and urlsplit(browser.address).path != "/salesforce/return":
        browser.submit(decision="allow")
    return browser


def accounts(salesforce):
    answer = salesforce.get(ACCOUNTS).raise_for_status()
    return [record["Name"] for record in answer.json()["records"]]


async def accounts_async(salesforce):
    answer = (await salesforce.get(ACCOUNTS)).raise_for_status()
    return [record["Name"] for record in answer.json()["records"]]


def test_records_come_and_after_a_401_come_again_with_one_refresh(latchkey, sdk, connection):
    assert sdk.with_salesforce(connection, accounts) == NAMES
    assert latchkey.refreshes() == 0
    latchkey.world("POST", "expire-access-tokens")
    assert sdk.with_salesforce(connection, accounts) == NAMES
    assert sdk.with_salesforce(connection, accounts) == NAMES
    assert latchkey.refreshes() == 1


def test_fifty_parallel_threads_cause_one_refresh(latchkey, sdk, connection):
    sdk.with_salesforce(connection, accounts)
    latchkey.world("POST", "expire-access-tokens")
    with ThreadPoolExecutor(CALLERS) as callers:
        for names in callers.map(lambda _: sdk.with_salesforce(connection, accounts), range(CALLERS)):
            assert names == NAMES
    assert latchkey.refreshes() == 1


def test_fifty_parallel_tasks_of_several_clients_cause_one_refresh(latchkey, connection):
    async def work():
        clients = [AsyncLatchkey(latchkey.origin, latchkey.api_key) for _ in range(5)]
        for client in clients:
            assert await client.with_salesforce(connection, accounts_async) == NAMES
        latchkey.world("POST", "expire-access-tokens")
        calls = [clients[n % 5].with_salesforce(connection, accounts_async) for n in range(CALLERS)]
        found = await asyncio.gather(*calls)
        for client in clients:
            await client.close()
        return found

    assert asyncio.run(work()) == [NAMES] * CALLERS
    assert latchkey.refreshes() == 1


def test_simple_salesforce_works_also_after_a_401(latchkey, sdk, connection, ca_file):
    session = requests.Session()
    session.verify = ca_file
    client = salesforce_client(sdk, connection, session=session)

    def names():
        return [record["Name"] for record in client.query("SELECT Name FROM Account ORDER BY Name")["records"]]

    assert names() == NAMES
    latchkey.world("POST", "expire-access-tokens")
    assert names() == NAMES
    assert latchkey.refreshes() == 1


def test_refresh_that_salesforce_refuses_for_the_moment_is_waited_for(latchkey, sdk, connection):
    sdk.with_salesforce(connection, accounts)
    latchkey.world("POST", "expire-access-tokens")
    fault = {"endpoint": "refresh", "fault": "oauth-temporarily-unavailable-503", "times": 1}
    latchkey.world("POST", "misbehave", fault)
    assert sdk.with_salesforce(connection, accounts) == NAMES


def test_every_call_answers_as_its_type_says(latchkey, sdk, connection):
    shown = sdk.connections.get(connection)
    assert (shown.id, shown.state, shown.username) == (connection.id, "active", "uma@acme.example")
    connect(latchkey, sdk, another=True)
    listed = [each.id for each in sdk.connections.iterate(customer="c-acme", limit=1)]
    assert connection.id in listed
    assert len(set(listed)) == len(listed) >= 2

    check = sdk.connections.check(connection)
    assert (check.ok, check.connection_id) == (True, connection.id)
    report = sdk.connections.report_failure(connection, code="API_DISABLED_FOR_ORG", http_status=403)
    assert report.id in [failure.id for failure in sdk.failures.iterate(customer="c-acme", limit=1)]
    assert sdk.failures.summarize(by="cause").product == "fernway"
    assert sdk.ops_links.create().url.startswith("http")
    with pytest.raises(ProblemError) as raised:
        sdk.connections.list(limit=1000)
    assert raised.value.type == "bad-request"


def test_feed_tells_what_happened_and_an_event_is_sent_again(latchkey, sdk, connection):
    sent = sdk.events.send_test()
    end = time.monotonic() + 30
    while True:
        try:
            assert sdk.events.get(sent.id).type == "webhook.test"
            break
        except ProblemError:
            assert time.monotonic() < end
            time.sleep(0.5)
    assert sdk.events.redeliver(sent.id).id == sent.id
    latchkey.world("POST", "pass", {"seconds": 20})
    types = {event.type for page in sdk.events.pages(limit=2) for event in page.events}
    assert {"connection.created", "session.connected"} <= types


def test_revoked_grant_asks_for_the_user(latchkey, sdk, connection):
    sdk.with_salesforce(connection, accounts)
    latchkey.world("POST", "revoke-grants", {"org": "acme", "user": "uma@acme.example"})
    with pytest.raises(ReauthorizationNeededError) as raised:
        sdk.with_salesforce(connection, accounts)
    assert raised.value.actor == "end_user"
    assert "/help/" in raised.value.help_url
    again = connect(latchkey, sdk, **raised.value.reconnect)
    assert (again.id, again.reconnected.identity_changed) == (connection.id, False)
    assert sdk.with_salesforce(connection, accounts) == NAMES


def test_app_that_admins_have_to_approve_is_for_the_admin(latchkey, sdk, connection):
    sdk.with_salesforce(connection, accounts)
    latchkey.world("POST", "expire-access-tokens")
    app = {"org": "acme", "app": sync_app_key()}
    latchkey.world("POST", "policies", {**app, "admin_approved": True})
    try:
        with pytest.raises(ProblemError) as raised:
            sdk.with_salesforce(connection, accounts)
        assert (raised.value.type, raised.value.actor) == ("blocked-by-org", "admin")
    finally:
        latchkey.world("POST", "policies", {**app, "admin_approved": False})


def test_deleted_connection_gives_no_token(sdk, connection):
    sdk.with_salesforce(connection, accounts)
    assert sdk.connections.delete(connection) == "deleted"
    with pytest.raises(ProblemError) as raised:
        sdk.with_salesforce(connection, accounts)
    assert (raised.value.type, raised.value.status) == ("not-found", 404)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_example_shows_records_on_screen(this_machine, tmp_path):
    port = free_port()
    example = f"http://localhost:{port}/salesforce/return"
    product = (ROOT / "infra/products/fernway.toml").read_text()
    addresses = f'return_addresses = ["{example}"]'
    (tmp_path / "fernway.toml").write_text(re.sub("return_addresses = .*", addresses, product))
    stack = Latchkey("--products", str(tmp_path))
    settings = {"LATCHKEY_URL": stack.origin, "LATCHKEY_API_KEY": stack.api_key, "PYTHONPATH": str(SDK / "src")}
    command = [sys.executable, "-B", "-m", "flask", "--app", "records", "run", "-p", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, cwd=SDK / "examples", env={**os.environ, **settings}, **quiet)
    try:
        stack.world("POST", "install", {"org": "acme", "app": sync_app_key()})
        end = time.monotonic() + STARTS_WITHIN_S
        while not listens(port):
            assert server.poll() is None and time.monotonic() < end, "the example runs"
            time.sleep(0.1)
        browser = approve(example, "http://nowhere.localhost")
        assert urlsplit(browser.address).path == "/salesforce/return"
        for name in NAMES:
            assert name in browser.text
        # What another browser brings is not redeemed: it is sent to connect.
        stolen = requests.get(browser.address, allow_redirects=False, timeout=10)
        assert stolen.status_code == 303
    finally:
        server.terminate()
        server.wait()
        stack.stop()


def listens(port):
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0
