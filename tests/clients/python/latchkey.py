"""Latchkey on this machine, and what Fernway, its example product, does with it."""

import json
import subprocess
import tomllib
from html.parser import HTMLParser
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, Request, build_opener

import requests

ROOT = Path(__file__).resolve().parents[3]
STOPS_AFTER_S = 600


def sync_app_key() -> str:
    """The consumer key of Fernway's connected app."""
    product = tomllib.loads((ROOT / "infra/products/fernway.toml").read_text())
    return next(app["consumer_key"] for app in product["apps"] if app["id"] == "sync")


class Latchkey:
    """Every function on a free port, with these further flags, until `stop`."""

    def __init__(self, *flags):
        free = ["--port", "0", "--product-port", "0", "--salesforce-port", "0"]
        command = [ROOT / "target/debug/local", "--json", "--stop-after", str(STOPS_AFTER_S), *free, *flags]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        # What it logs is read, so that it never waits for a reader.
        Thread(target=self._process.stderr.read, daemon=True).start()
        addresses = json.loads(self._process.stdout.readline())
        self.origin = addresses["latchkey"]
        self.return_to = f"{addresses['product']}/salesforce/return"
        self.salesforce = f"http://{addresses['salesforce']}"
        self.ca_pem = addresses["ca_pem"]
        self.api_key = addresses["api_keys"]["fernway"]

    def stop(self):
        """Ends the process that was started here, and no other."""
        self._process.terminate()
        self._process.wait()

    def call(self, method, path, body=None) -> requests.Response:
        """Fernway's backend calls the API."""
        bearer = {"Authorization": f"Bearer {self.api_key}"}
        return requests.request(method, f"{self.origin}{path}", headers=bearer, json=body, timeout=10)

    def expect(self, status, method, path, body=None):
        """The same, where any other status than this one fails the test."""
        answer = self.call(method, path, body)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} instead of {status}"
        return answer.json() if answer.content else None

    def token(self, connection, rejected=None):
        """A connection's token; `rejected` is the fingerprint of the one that Salesforce answered with 401."""
        path = f"/v1/connections/{connection}/token"
        if rejected:
            return self.expect(200, "POST", path, {"rejected": rejected})
        return self.expect(200, "GET", path)

    def connected(self, username) -> dict:
        """Alice connects an org, in a browser of her own, as this Salesforce user: an active connection."""
        wish = {
            "app": "sync",
            "customer": {"id": "c-acme", "name": "Acme Corporation"},
            "user": "u-alice",
            "return_to": self.return_to,
        }
        session = self.expect(201, "POST", "/v1/connect-sessions", wish)
        browser = Browser(stop_before=self.return_to)
        browser.get(session["connect_url"])
        browser.submit(host="production")
        browser.submit(username=username)
        if not browser.stopped:  # Salesforce asks for consent once.
            browser.submit(decision="allow")
        brought = parse_qs(urlsplit(browser.address).query)
        redeem = {"receipt": brought["receipt"][0], "user": "u-alice"}
        return self.expect(200, "POST", f"/v1/connect-sessions/{session['id']}/redeem", redeem)

    def world(self, method, control, body=None):
        """The controls of the Salesforce world (tests/world)."""
        answer = requests.request(method, f"{self.salesforce}/_world/{control}", json=body, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def refreshes(self) -> int:
        """How often a refresh token came to the world's token endpoint since its calls were forgotten."""
        return sum(call["grant_type"] == "refresh_token" for call in self.world("GET", "calls"))


class Browser(HTTPRedirectHandler):
    """Redirects, cookies, and the first form of a page. It stops before an address that begins so."""

    def __init__(self, stop_before):
        self._stop_before = stop_before
        # As browsers do: `localhost` names count as secure.
        jar = CookieJar(DefaultCookiePolicy(secure_protocols=("http", "https")))
        self._opener = build_opener(HTTPCookieProcessor(jar), self)
        self.address = None
        self.stopped = False
        self.text = ""
        self._form = None

    def get(self, address):
        self._open(Request(address))

    def submit(self, **fields):
        """Submits the page's first form, with these fields over its hidden ones."""
        filled = urlencode(self._form.hidden | fields).encode()
        page = urlsplit(self.address)
        sent_from = {"Origin": f"{page.scheme}://{page.netloc}"}  # as browsers do with every POST
        self._open(Request(urljoin(self.address, self._form.action), filled, sent_from))

    def _open(self, request):
        try:
            with self._opener.open(request, timeout=10) as answer:
                self.address = answer.url
                self.text = answer.read().decode()
                self._form = Form(self.text)
        except HTTPError as error:
            error.close()
            if not self.stopped:
                raise

    def redirect_request(self, request, body, status, reason, headers, address):
        """Called by urllib: the request to go on with, or `None` to stop here."""
        if address.startswith(self._stop_before):
            self.address, self.stopped = address, True
            return None
        return super().redirect_request(request, body, status, reason, headers, address)


class Form(HTMLParser):
    """The first form of a page: where it goes, and its hidden fields."""

    def __init__(self, html):
        super().__init__()
        self.action = None
        self.hidden = {}
        self._over = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if self._over:
            return
        if tag == "form":
            self.action = given["action"]
        elif tag == "input" and self.action and given.get("type") == "hidden":
            self.hidden[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag):
        self._over = self._over or tag == "form"
