"""Downloads against a local server: whole, resumed, cut, damaged, full disk, no network."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from engine.config import settings
from engine.errors import WeightsUnavailable
from engine.weights import download as downloads
from engine.weights.download import download

CONTENT = bytes(range(256)) * 4096
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(BaseHTTPRequestHandler):
    """Serves CONTENT with ranges; `cut` ends the next answers halfway."""

    cut = 0
    asked: list[str | None] = []  # noqa: RUF012 (reset by the fixture)

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        Server.asked.append(wanted)
        if self.path == "/missing.pth":
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if Server.cut:
            Server.cut -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("SENET_OFFLINE", "0")
    settings.cache_clear()
    Server.cut, Server.asked = 0, []
    running = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def quiet(done: int, total: int) -> None:
    """Progress that nobody watches."""


def test_a_file_arrives_whole_and_only_once(server: str, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    target = tmp_path / "weights" / "a.pth"
    download(f"{server}/a.pth", target, lambda done, total: seen.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    download(f"{server}/a.pth", target, quiet)
    assert len(Server.asked) == 1
    assert [p.name for p in target.parent.iterdir()] == ["a.pth"]


def test_two_jobs_that_want_one_file_fetch_it_once(server: str, tmp_path: Path) -> None:
    target = tmp_path / "weights" / "a.pth"
    jobs = [
        threading.Thread(target=download, args=(f"{server}/a.pth", target, quiet)) for _ in range(4)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert target.read_bytes() == CONTENT
    assert Server.asked == [None]


def test_a_cut_connection_is_resumed_by_the_next_attempt(server: str, tmp_path: Path) -> None:
    Server.cut = 1
    target = tmp_path / "a.pth"
    with pytest.raises(WeightsUnavailable, match="was cut after"):
        download(f"{server}/a.pth", target, quiet)
    assert not target.exists()
    download(f"{server}/a.pth", target, quiet)
    assert target.read_bytes() == CONTENT
    assert Server.asked == [None, f"bytes={len(CONTENT) // 2}-"]


def test_a_part_longer_than_the_file_is_thrown_away(server: str, tmp_path: Path) -> None:
    (tmp_path / "a.pth.part").write_bytes(b"x" * (len(CONTENT) + 5))
    download(f"{server}/a.pth", tmp_path / "a.pth", quiet)
    assert (tmp_path / "a.pth").read_bytes() == CONTENT


def test_the_digest_in_the_name_is_checked(server: str, tmp_path: Path) -> None:
    right = f"net-{DIGEST[:8]}.pth"
    download(f"{server}/{right}", tmp_path / right, quiet)
    with pytest.raises(WeightsUnavailable, match="is damaged"):
        download(f"{server}/net-00000000.pth", tmp_path / "net-00000000.pth", quiet)
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == [right]


@pytest.mark.parametrize("way", ["missing", "refused", "offline"])
def test_no_file_names_the_url_and_the_place(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    url = {"missing": f"{server}/missing.pth", "refused": "http://127.0.0.1:9/a.pth"}.get(
        way, f"{server}/a.pth"
    )
    if way == "offline":
        monkeypatch.setenv("SENET_OFFLINE", "1")
        settings.cache_clear()
    with pytest.raises(WeightsUnavailable) as caught:
        download(url, tmp_path / "a.pth", quiet)
    assert url in str(caught.value)
    assert str(tmp_path / "a.pth") in str(caught.value)
    assert Server.asked == ([None] if way == "missing" else [])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said_as_such(server: str, tmp_path: Path) -> None:
    (tmp_path / "a.pth.part").symlink_to("/dev/full")
    with pytest.raises(downloads.WeightsUnavailable.__base__, match="The disk is full"):
        download(f"{server}/a.pth", tmp_path / "a.pth", quiet)
