"""Prepared sets in the user's cache directory: an uncompressed .npy, memory-mapped, and a JSON beside it."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from zerosum.data.formats import Check, DataError, Dataset, Format

VERSION = 2  # of what is kept here: raise it when a prepared set would come out otherwise


def cache_folder(given: Path | None = None) -> Path:
    """Where prepared sets lie: as given, or $ZEROSUM_CACHE, or the user's cache directory.

    >>> cache_folder(Path("here")).name
    'here'
    """
    from platformdirs import user_cache_dir

    return given or Path(os.environ.get("ZEROSUM_CACHE") or user_cache_dir("zerosum"))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file written beside its target, flushed to disk, then renamed onto it: whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with beside.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@dataclass(frozen=True)
class Entry:
    """One prepared set's place in the cache."""

    folder: Path
    key: str

    @classmethod
    def of(cls, folder: Path, *parts: object) -> "Entry":
        """The entry of a source and its settings; any change in either is another entry."""
        text = json.dumps([VERSION, *parts], default=str)
        return cls(folder, hashlib.sha256(text.encode()).hexdigest()[:32])

    def path(self, suffix: str) -> Path:
        return self.folder / f"{self.key}{suffix}"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Held while the entry is read or made, so of several processes one prepares, the others wait."""
        from filelock import FileLock

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path(".lock"))
            lock.acquire()
        except OSError as error:
            raise DataError(
                f"{self.folder}: prepared data cannot be kept here ({error}); set ZEROSUM_CACHE to a folder "
                "that can be written"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def store(self, dataset: Dataset, *, mapped: bool = True) -> None:
        """Describe the samples already written to `.npy` (or, not mapped, those of the source itself)."""
        record = {
            "shape": dataset.samples.shape,
            "bytes": self.path(".npy").stat().st_size if mapped else None,
            "format": asdict(dataset.format),
            "labels": None if dataset.labels is None else dataset.labels.tolist(),
            "classes": dataset.classes,
            "fingerprint": dataset.fingerprint,
            "check": asdict(dataset.check),
            "aside": dataset.aside,
        }
        with replacing(self.path(".json")) as stream:
            stream.write(json.dumps(record).encode())

    def load(self, name: str, source: Callable[[], np.ndarray[Any, Any]] | None = None) -> Dataset | None:
        """The prepared set, or None where it is missing or damaged; `source` maps an unconverted one."""
        try:
            record = json.loads(self.path(".json").read_bytes())
            form = Format(**{**record["format"], "shape": tuple(record["format"]["shape"])})
            labels = None if record["labels"] is None else np.array(record["labels"], np.int64)
            check = record["check"]
            check["set_aside"] = tuple((path, reason) for path, reason in check["set_aside"])
            check["notes"] = tuple(check["notes"])
            if record["bytes"] is not None:
                if self.path(".npy").stat().st_size != record["bytes"]:
                    return None
                samples = np.load(self.path(".npy"), mmap_mode="r", allow_pickle=False)
            elif source is not None:
                samples = source()
            else:
                return None
            whole = list(samples.shape) == record["shape"] and samples.dtype == form.dtype
            if not whole or (labels is not None and len(labels) != len(samples)):
                return None
            classes, aside = tuple(record["classes"]), tuple(record["aside"])
            mark = record["fingerprint"]
            return Dataset(name, form, samples, labels, classes, mark, Check(**check), aside)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
