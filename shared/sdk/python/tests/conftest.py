"""Servers in the test's process that answer what a test tells them, and both clients behind one face."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from latchkey_sdk import AsyncLatchkey, Latchkey

KEY = "lk_a-very-secret-key"
THREADS = 64


class Drop(Exception):
    """The connection breaks off in place of an answer."""


class Asked:
    def __init__(self, handler, body):
        self.method, self.path, self.headers, self.body = handler.command, handler.path, handler.headers, body

    @property
    def json(self):
        return json.loads(self.body) if self.body else None

    @property
    def token(self):
        return self.headers.get("authorization")


class Server:
    """`answer(asked, count)` gives a status, a body (JSON or bytes) and headers."""

    def __init__(self, answer):
        self.asked = []
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(handler):
                if handler.headers.get("transfer-encoding") == "chunked":
                    body = b""
                    while size := int(handler.rfile.readline(), 16):
                        body += handler.rfile.read(size)
                        handler.rfile.readline()
                    handler.rfile.readline()
                else:
                    body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
                asked = Asked(handler, body)
                with lock:
                    self.asked.append(asked)
                    count = len(self.asked)
                try:
                    status, content, *more = answer(asked, count)
                except Drop:
                    handler.close_connection = True
                    handler.connection.shutdown(socket.SHUT_RDWR)
                    return
                raw = content if isinstance(content, bytes) else json.dumps(content).encode()
                handler.send_response(status)
                for name, value in (more[0] if more else {}).items():
                    handler.send_header(name, value)
                handler.send_header("content-length", str(len(raw)))
                handler.end_headers()
                handler.wfile.write(raw)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, *_):
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


def problem(status, kind, more=None, headers=None):
    document = {"type": f"urn:latchkey:problem:{kind}", "title": f"title of {kind}", "status": status, **(more or {})}
    return status, document, {"content-type": "application/problem+json", **(headers or {})}


def token(instance, number, **more):
    now = datetime.now(timezone.utc)
    return {
        "connection_id": "con_1",
        "access_token": f"secret-token-{number}",
        "token_type": "Bearer",
        "instance_url": instance,
        "scopes": ["api"],
        "scopes_missing": [],
        "issued_at": now.isoformat(),
        "expires_at": (now + timedelta(minutes=15)).isoformat().replace("+00:00", "Z"),
        "expires_at_basis": "app_policy",
        "fingerprint": f"print-{number}",
        "state": "active",
        **more,
    }


CONNECTION = {
    "id": "con_1",
    "state": "active",
    "app": "sync",
    "customer": {"id": "c-1", "name": "Acme"},
    "user": "u-1",
    "org_id": "00D",
    "salesforce_user_id": "005",
    "username": "uma@acme.example",
    "environment": "production",
    "login_host": "login.salesforce.com",
    "instance_url": "https://acme.my.salesforce.com",
    "scopes": ["api"],
    "created_at": "2026-11-30T15:04:05Z",
}
SESSION = {
    "id": "cs_1",
    "status": "created",
    "connect_url": "https://connect.example/connect/secret-link",
    "app": "sync",
    "customer": {"id": "c-1", "name": "Acme"},
    "user": "u-1",
    "return_to": "https://app.example/return",
    "created_at": "2026-11-30T15:04:05Z",
    "expires_at": "2026-11-30T16:04:05Z",
    "attempts": 0,
}
EVENT = {"id": "evt_1", "type": "webhook.test", "version": 1, "timestamp": "2026-11-30T15:04:05Z", "data": {"product": "p"}}


class Face:
    """An asynchronous object behind calls that block, so that one test speaks to both clients."""

    def __init__(self, inner, loop):
        self._inner, self._loop = inner, loop

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if not callable(found):
            return Face(found, self._loop)

        def call(*args, **options):
            args = [self._wrapped(arg) if inspect.isfunction(arg) else arg for arg in args]
            result = found(*args, **options)
            if inspect.isasyncgen(result):
                return iter(self._run(collect(result)))
            return self._run(result) if inspect.isawaitable(result) else result

        return call

    def _run(self, work):
        async def wait():
            return await work

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result(60)

    def _wrapped(self, fn):
        return lambda inner: asyncio.to_thread(fn, Face(inner, self._loop))


async def collect(found):
    return [item async for item in found]


@pytest.fixture
def serve():
    running = []

    def start(answer):
        running.append(Server(answer))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def latchkey_of(serve):
    """A Latchkey whose tokens are numbered: a report of the current one makes the next."""

    def start(instance, delay=0.0, **more):
        lock, state = threading.Lock(), {"number": 1}
        reports = []

        def answer(asked, _):
            time.sleep(delay)
            rejected = (asked.json or {}).get("rejected")
            with lock:
                if rejected:
                    reports.append(rejected)
                if rejected == f"print-{state['number']}":
                    state["number"] += 1
                return 200, token(instance, state["number"], **more)

        server = serve(answer)
        server.reports = reports
        return server

    return start


@pytest.fixture(scope="session")
def loop():
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


@pytest.fixture(params=["sync", "async"])
def client(request, loop):
    """Makes a client of a server, of either kind."""
    made = []

    def make(server, **options):
        cls = Latchkey if request.param == "sync" else AsyncLatchkey
        inner = cls(getattr(server, "origin", server), KEY, **options)
        made.append(inner if request.param == "sync" else Face(inner, loop))
        return made[-1]

    make.kind = request.param
    yield make
    for each in made:
        each.close()
