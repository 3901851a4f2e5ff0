"""Weights of the nets that judge images: a path, a file in $ZEROSUM_DATA, or a checked download."""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from safetensors.torch import load
from torch import Tensor, nn

from zerosum.data.cache import cache_folder
from zerosum.data.download import Remote, download

__all__ = ["fitted", "in_a_line", "read_weights"]

Net = TypeVar("Net", bound=nn.Module)


def read_weights(
    given: str | None, name: str, sha256: str | None = None, cache: Path | None = None
) -> tuple[dict[str, Tensor], str]:
    """A safetensors file's tensors and its SHA-256.

    `given` is a path, or a URL with the SHA-256 that is published with it: then it is fetched once, into the
    user's cache directory. Without it `name` is taken from the folder that ZEROSUM_DATA names. Raises
    ValueError for what is not there or cannot be read, for a URL without a SHA-256, and for another one.
    """
    if given is not None and urlsplit(given).scheme in ("http", "https", "file"):
        if sha256 is None:
            raise ValueError(f"weights={given}: give sha256=… beside it, as it is published with the weights")
        remote = Remote(Path(urlsplit(given).path).name, [given], sha256=sha256)
        path = download(remote, cache_folder(cache) / "weights" / sha256[:16])
    else:
        path = _own(given, name)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise ValueError(
            f"{path}: its SHA-256 is {digest}, not {sha256}; fetch it again, or leave sha256 out"
        )
    try:
        return load(content), digest
    except Exception as error:
        raise ValueError(f"{path}: not a safetensors file that can be read ({error})") from error


def _own(given: str | None, name: str) -> Path:
    folder = os.environ.get("ZEROSUM_DATA", "")
    path = Path(given).expanduser() if given else Path(folder).expanduser() / name
    if not path.is_file():
        where = f"{path}: no such file" if given or folder else "ZEROSUM_DATA is not set"
        raise ValueError(
            f"weights {name}: {where}; put it into the folder that ZEROSUM_DATA names, or give weights=PATH "
            "with the extractor. The extractors pixels and random need none"
        )
    return path


def fitted(
    given: str | None, name: str, make: Callable[[Mapping[str, Tensor]], Net], sha256: str | None = None
) -> tuple[Net, str]:
    """The net that `make` makes of the weights, ready to judge, and their SHA-256.

    Raises ValueError as `read_weights` does, and where they are another net's.
    """
    tensors, digest = read_weights(given, name, sha256)
    try:
        return make(tensors).eval().requires_grad_(False), digest
    except (RuntimeError, KeyError) as error:
        raise ValueError(f"weights {given or name} are not this net's: {in_a_line(error)}") from error


def in_a_line(error: Exception, most: int = 200) -> str:
    """What an error says, on one line, and where it lists every tensor its beginning.

    >>> in_a_line(ValueError("two\\n\\tlines"))
    'two lines'
    """
    text = " ".join(str(error).split())
    return text if len(text) <= most else f"{text[:most]} …"
