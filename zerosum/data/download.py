"""One file from the network: checked, then renamed into place; nothing half-fetched is ever left there."""

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zerosum.data.cache import replacing
from zerosum.data.formats import DataError
from zerosum.data.prepare import Progress

TIMEOUT = 30.0  # seconds without a byte


@dataclass(frozen=True)
class Remote:
    """A published file: its name, where it lies (the first that answers is taken), and its MD5 or SHA-256."""

    name: str
    urls: Sequence[str]
    md5: str = ""
    sha256: str = ""


def download(remote: Remote, folder: Path, progress: Progress | None = None) -> Path:
    """Fetch a file into a folder, unless it is there already, and check it.

    Raises DataError, which tells each address and what came of it, where none gives the published file.
    """
    target = folder / remote.name
    if target.is_file():
        return target
    failures = []
    for url in remote.urls:
        try:
            _fetch(url, remote, target, progress)
            return target
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = f"HTTP {error.code}" if isinstance(error, urllib.error.HTTPError) else str(error)
            failures.append(f"{url}: {reason or type(error).__name__}")
    raise DataError(
        f"{remote.name} could not be fetched ({'; '.join(failures)}); fetch it by hand, into the folder that "
        "ZEROSUM_DATA names"
    )


def _fetch(url: str, remote: Remote, target: Path, progress: Progress | None) -> None:
    if bool(remote.md5) == bool(remote.sha256):
        raise ValueError("a published file has an MD5 or a SHA-256")
    kind, published = ("SHA-256", remote.sha256) if remote.sha256 else ("MD5", remote.md5)
    digest = hashlib.sha256() if remote.sha256 else hashlib.md5(usedforsecurity=False)
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, replacing(target) as stream:
        total = int(answer.headers.get("Content-Length") or 0)
        done = 0
        while part := answer.read(1 << 18):
            stream.write(part)
            digest.update(part)
            done += len(part)
            if progress is not None:
                progress(f"downloading {remote.name}", done, max(total, done))
        if done < total:
            raise ValueError(f"the connection ended after {done:,} of {total:,} bytes")
        if digest.hexdigest() != published.lower():
            raise ValueError(f"{kind} {digest.hexdigest()}, where {published} is published")
