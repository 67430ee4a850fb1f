"""simple-salesforce, unchanged, with tokens from Latchkey."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceExpiredSession

ACCOUNTS = "SELECT Id, Name, Industry FROM Account ORDER BY Name"
CALLERS = 8


@pytest.fixture
def connection(latchkey):
    made = latchkey.connected("uma@acme.example")
    latchkey.world("DELETE", "calls")
    return made


@pytest.fixture
def build(ca_file):
    """Builds a client from what Latchkey hands out, as a product does."""

    def build(token) -> Salesforce:
        session = requests.Session()
        session.verify = ca_file
        return Salesforce(instance_url=token["instance_url"], session_id=token["access_token"], session=session)

    return build


def names(client) -> list[str]:
    return [record["Name"] for record in client.query(ACCOUNTS)["records"]]


def test_it_queries_and_describes_with_the_brokered_token(latchkey, connection, build):
    client = build(latchkey.token(connection["id"]))

    assert names(client) == ["Acme Corporation Headquarters", "Initech", "Umbrella Logistics"]
    found = next(client.query_all_iter(ACCOUNTS))
    assert client.Account.get(found["Id"])["Industry"] == found["Industry"]
    assert "Industry" in [field["name"] for field in client.Account.describe()["fields"]]
    assert latchkey.refreshes() == 0


def test_after_a_401_its_caller_rebuilds_it_with_a_new_token(latchkey, connection, build):
    token = latchkey.token(connection["id"])
    client = build(token)
    latchkey.world("POST", "expire-access-tokens")

    with pytest.raises(SalesforceExpiredSession) as expired:
        client.query(ACCOUNTS)
    assert expired.value.status == 401
    assert expired.value.content[0]["errorCode"] == "INVALID_SESSION_ID"

    renewed = latchkey.token(connection["id"], rejected=token["fingerprint"])
    assert renewed["access_token"] != token["access_token"]
    assert len(names(build(renewed))) == 3
    assert latchkey.refreshes() == 1


def test_workers_whose_token_expired_together_cause_one_refresh(latchkey, connection, build):
    token = latchkey.token(connection["id"])
    latchkey.world("POST", "expire-access-tokens")

    def work(_):
        with pytest.raises(SalesforceExpiredSession):
            build(token).query(ACCOUNTS)
        renewed = latchkey.token(connection["id"], rejected=token["fingerprint"])
        return renewed["access_token"], len(names(build(renewed)))

    with ThreadPoolExecutor(CALLERS) as workers:
        done = set(workers.map(work, range(CALLERS)))

    assert len(done) == 1, "all work on with the same token"
    assert done.pop()[1] == 3
    assert latchkey.refreshes() == 1


def test_a_deleted_connection_ends_it(latchkey, connection, build):
    client = build(latchkey.token(connection["id"]))
    assert len(names(client)) == 3

    latchkey.expect(204, "DELETE", f"/v1/connections/{connection['id']}")

    with pytest.raises(SalesforceExpiredSession):
        client.query(ACCOUNTS)
    assert latchkey.call("GET", f"/v1/connections/{connection['id']}/token").status_code == 404
