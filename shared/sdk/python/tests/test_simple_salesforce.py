"""The adapter for simple-salesforce, with its requests sent to a server of the test."""

import json

import pytest
import requests
from requests.adapters import BaseAdapter

from latchkey_sdk import Latchkey, OtherOriginError, ProblemError
from latchkey_sdk.simple_salesforce import salesforce_client

from conftest import KEY

INSTANCE = "https://acme.my.salesforce.com"


class Org(BaseAdapter):
    """Answers in place of Salesforce: 401 to each token but this one."""

    def __init__(self, accepted, answer=None):
        super().__init__()
        self.accepted, self.asked, self.answer = accepted, [], answer

    def send(self, request, **options):
        self.asked.append(request)
        status, body, headers = 200, {"totalSize": 0, "done": True, "records": []}, {}
        if request.headers["Authorization"] != f"Bearer secret-token-{self.accepted}":
            status, body = 401, [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]
        elif self.answer:
            status, body, headers = self.answer
        response = requests.Response()
        response.status_code, response.url, response.request = status, request.url, request
        response._content, response.headers = json.dumps(body).encode(), requests.structures.CaseInsensitiveDict(headers)
        return response

    def close(self):
        pass


@pytest.fixture
def build(latchkey_of):
    def build(org, instance=INSTANCE):
        server = latchkey_of(instance)
        session = requests.Session()
        session.mount("https://", org)
        return server, session, salesforce_client(Latchkey(server.origin, KEY), "con_1", session=session)

    return build


def test_401_is_reported_and_repeats_that_one_request(build):
    org = Org(accepted=2)
    server, _, client = build(org)
    assert client.query("SELECT Id FROM Account")["totalSize"] == 0
    client.Account.update("001000000000001AAA", {"Name": "New"}, raw_response=True)
    assert server.reports == ["print-1"]
    assert [request.method for request in org.asked] == ["GET", "GET", "PATCH"]
    assert org.asked[2].body == '{"Name": "New"}'


def test_bulk_calls_carry_the_new_token_too(build):
    org = Org(accepted=2, answer=(200, {}, {}))
    _, session, client = build(org)
    headers = {"X-SFDC-Session": "secret-token-1", "Authorization": "Bearer secret-token-1"}
    session.request("POST", f"{INSTANCE}/services/async/62.0/job", headers=headers, data="{}")
    assert org.asked[-1].headers["X-SFDC-Session"] == "secret-token-2"
    assert client.session is session


def test_nothing_leaves_the_org(build):
    org = Org(accepted=1, answer=(302, {}, {"location": "https://evil.example/x"}))
    _, session, _ = build(org)
    assert session.get(f"{INSTANCE}/x").status_code == 302
    with pytest.raises(OtherOriginError):
        session.get("https://evil.example/x")
    assert [request.url for request in org.asked] == [f"{INSTANCE}/x"]


def test_why_no_token_works_is_raised(serve):
    from conftest import problem, token

    answer = lambda asked, _: problem(409, "tokens-rejected", {"cause": "ip_restricted"}) if asked.body else (200, token(INSTANCE, 1))
    session = requests.Session()
    session.mount("https://", Org(accepted="none"))
    client = salesforce_client(Latchkey(serve(answer).origin, KEY), "con_1", session=session)
    with pytest.raises(ProblemError) as raised:
        client.query("SELECT Id FROM Account")
    assert raised.value.cause == "ip_restricted"
