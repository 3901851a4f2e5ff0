"""Downloads against a server on loopback that does what servers do."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from zerosum.data import DataError, download
from zerosum.data.download import Remote

CONTENT = bytes(range(256)) * 4096
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/404":
            self.send_error(404)
            return
        self.send_response(200)
        if self.path != "/unsized":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if self.path == "/stalls":
            self.wfile.write(CONTENT[:1000])
            self.wfile.flush()
            self.server.stop.wait(20)  # type: ignore[attr-defined]
        else:
            self.wfile.write(CONTENT[: len(CONTENT) // 2] if self.path == "/dies" else CONTENT)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    serving = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving.stop = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.stop.set()  # type: ignore[attr-defined]
    serving.shutdown()
    thread.join()
    serving.server_close()


@pytest.mark.parametrize("page", ["/good", "/unsized"])
def test_a_good_file_is_fetched_once_with_progress(server: str, tmp_path: Path, page: str) -> None:
    told: list[tuple[str, int, int]] = []
    remote = Remote("set.bin", [server + page], MD5)
    path = download.download(remote, tmp_path / "deep", lambda *args: told.append(args))
    assert path.read_bytes() == CONTENT
    assert told[-1] == ("downloading set.bin", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert download.download(Remote("set.bin", [], MD5), tmp_path / "deep") == path
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["set.bin"]


@pytest.mark.parametrize(
    ("page", "md5", "reason"),
    [
        ("/good", "0" * 32, "where 0{32} is published"),
        ("/404", MD5, "HTTP 404"),
        ("/dies", MD5, "ended after 524,288 of 1,048,576 bytes|IncompleteRead"),
        ("/stalls", MD5, "timed out"),
    ],
)
def test_what_goes_wrong_is_told_and_leaves_nothing(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str, md5: str, reason: str
) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    with pytest.raises(
        DataError, match=rf"set\.bin could not be fetched \(.*{page}: .*({reason}).*ZEROSUM_DATA"
    ):
        download.download(Remote("set.bin", [server + page], md5), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_next_address_is_tried(server: str, tmp_path: Path) -> None:
    urls = [server + "/404", server + "/dies", "http://127.0.0.1:1/refused", server + "/good"]
    assert download.download(Remote("set.bin", urls, MD5), tmp_path).read_bytes() == CONTENT
