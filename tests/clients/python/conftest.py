import os
import socket

import pytest

from latchkey import Latchkey, sync_app_key

resolve = socket.getaddrinfo


def on_this_machine(host, port, *args, **kwargs):
    """`localhost` and every name below it are this machine (RFC 6761 §6.3), and nothing else resolves."""
    name = host.decode() if isinstance(host, bytes) else host
    if name == "localhost" or name.endswith(".localhost"):
        name = "127.0.0.1"
    if name != "127.0.0.1":
        raise socket.gaierror(socket.EAI_NONAME, f"the tests talk to this machine alone, not to {name}")
    return resolve(name, port, *args, **kwargs)


@pytest.fixture(scope="session", autouse=True)
def this_machine():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", on_this_machine)
        # requests would put these before a session's own `verify`, and ask a proxy for every name.
        for name in list(os.environ):
            if name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") or name.lower().endswith("_proxy"):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def latchkey(this_machine):
    """The stack; Acme's admin has installed Fernway's app."""
    running = Latchkey()
    try:
        running.world("POST", "install", {"org": "acme", "app": sync_app_key()})
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def ca_file(latchkey, tmp_path_factory):
    """The authority that signed the certificates of the world's https."""
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    file.write_text(latchkey.ca_pem)
    return str(file)
