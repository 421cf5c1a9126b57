"""What the running server lets in: its own page, and nothing without the token of that page."""

from __future__ import annotations

import base64
import http.client
import os
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.support.server import serving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
FOREIGN = "evil.example"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A workbench as it is configured, with nothing in it."""
    with serving(tmp_path_factory.mktemp("doors") / "home") as found:
        yield found


def socket_status(address: str, host: str, origin: str) -> int:
    """How the server answers a page that wants to open its socket."""
    where = urlsplit(address)
    lines = [
        "GET /_stcore/stream HTTP/1.1",
        f"Host: {host}",
        f"Origin: {origin}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
    ]
    with socket.create_connection((where.hostname, where.port), timeout=20) as opened:
        opened.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return int(opened.recv(200).split()[1])


def answer(address: str, method: str, path: str, **headers: str) -> tuple[int, bytes]:
    where = urlsplit(address)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=20)
    connection.request(method, path, body=b"bytes", headers=headers)
    response = connection.getresponse()
    status, body = response.status, response.read()
    connection.close()
    return status, body


def test_only_its_own_page_opens_the_socket(address: str) -> None:
    host = address.removeprefix("http://")
    assert socket_status(address, host, address) == 101
    assert socket_status(address, host, f"http://{FOREIGN}") == 403
    assert socket_status(address, FOREIGN, f"http://{FOREIGN}") == 403


def test_nothing_is_uploaded_without_the_token_of_the_page(address: str) -> None:
    for headers in ({}, {"Origin": f"http://{FOREIGN}"}):
        assert answer(address, "PUT", "/_stcore/upload_file/a/b", **headers)[0] == 403


def test_no_file_of_the_machine_is_served(address: str) -> None:
    for path in ("/app/static/../../db/tables.py", "/media/../senet.db", "/static/%2e%2e/app.py"):
        status, body = answer(address, "GET", path)
        assert status != 200 or b"<title>" in body, path
        assert b"SQLite" not in body
        assert b"import" not in body[:500]


def test_other_machines_do_not_reach_it(address: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: it names the outward address
            outward = probe.getsockname()[0]
        except OSError:
            pytest.skip("This machine has no address but loopback.")
    with pytest.raises(OSError), socket.create_connection((outward, urlsplit(address).port), 2):
        pass
