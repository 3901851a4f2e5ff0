"""Folders, zips and tars as lists of names and streams of bytes, with nothing followed, run or extracted."""

import bz2
import contextlib
import functools
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, cast

from zerosum.data.formats import DataError

MEMBER_LIMIT = 128 << 20  # bytes of one file
HEADER_LIMIT = 16 << 20  # bytes between two members of a tar
RATIO_LIMIT = 100  # an archive may unpack to this many times its size ...
TOTAL_LIMIT = 1 << 30  # ... plus this many bytes

SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("png", "apng", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "dib", "gif", "tif", "tiff"),
        *("ppm", "pgm", "pbm", "pnm", "npy", "npz"),
        *("avif", "heic", "jp2", "tga", "ico", "psd"),  # known, not read: set aside, not passed over
    )
)
PICKLES = frozenset((".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"))
PICKLE_REASON = "a pickle can run code when it is read, so it is not: save the array as .npy or .npz"
MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\x93NUMPY")


class SetAside(Exception):  # noqa: N818 - not an error of the program: one sample is left out, with this reason
    """Why one sample is left out."""


@dataclass
class Listing:
    """What a container holds: the files to read (name → size and time), what is left out, how many others."""

    names: dict[str, tuple[int, int]] = field(default_factory=dict)
    aside: list[tuple[str, str]] = field(default_factory=list)
    others: int = 0
    binaries: list[str] = field(default_factory=list)  # .bin files, in which CIFAR-10 keeps its records

    def add(self, name: str, size: int, time: int, head: Callable[[], bytes]) -> None:
        """Sort one regular file by its name, or where the name says nothing by its first bytes."""
        suffix = PurePosixPath(name).suffix.lower()
        if PurePosixPath(name).name.startswith(".") or "__MACOSX" in PurePosixPath(name).parts:
            self.others += 1
        elif suffix in PICKLES:
            self.aside.append((name, PICKLE_REASON))
        elif suffix in SUFFIXES or _is_image(head()):
            self.names[name] = (size, time)
        else:
            self.others += 1
            if suffix == ".bin" or name.endswith("batches.meta.txt"):
                self.binaries.append(name)


class Container(Protocol):
    """Somewhere with files in it."""

    def scan(self) -> Listing: ...

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes | SetAside]]: ...


def _is_image(head: bytes) -> bool:
    return head.startswith(MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


class Budget:
    """How many bytes an archive may still unpack to; not what it declares, but what comes is counted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.left = self.limit = TOTAL_LIMIT + RATIO_LIMIT * path.stat().st_size

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise DataError(
                f"{self.path}: unpacks to more than {self.limit >> 20} MiB, over {RATIO_LIMIT} times its own "
                "size; if you trust it, unpack it and give the folder"
            )


def _bounded(stream: IO[bytes], spend: Callable[[int], None] = lambda count: None) -> bytes:
    parts: list[bytes] = []
    total = 0
    while part := stream.read(1 << 20):
        spend(len(part))
        parts.append(part)
        total += len(part)
        if total > MEMBER_LIMIT:
            raise SetAside(f"larger than {MEMBER_LIMIT >> 20} MiB: split it or shrink it")
    return b"".join(parts)


def _attempt(read: Callable[[], bytes]) -> bytes | SetAside:
    """The bytes, or why there are none."""
    try:
        return read()
    except SetAside as reason:
        return reason
    except DataError:
        raise
    except FileNotFoundError:
        return SetAside("gone since the folder was listed")
    except PermissionError:
        return SetAside("may not be read: check its permissions")
    except Exception as error:  # hostile archives raise whatever their decoder meets
        return SetAside(f"cannot be read: {error or type(error).__name__}")


class Folder:
    """A folder and all below it. No link is followed; only regular files are opened, without blocking."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def scan(self) -> Listing:
        found = Listing()
        waiting = [self.root]
        while waiting:
            folder = waiting.pop()
            try:
                with os.scandir(folder) as listed:
                    entries = sorted(listed, key=lambda entry: entry.name)
            except OSError as error:
                found.aside.append((self._name(folder), f"folder cannot be read: {error.strerror}"))
                continue
            for entry in entries:
                path = folder / entry.name
                if entry.is_symlink():
                    found.aside.append((self._name(path), self._link(path)))
                elif entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith("."):
                        waiting.append(path)
                elif entry.is_file(follow_symlinks=False):
                    self._file(found, path)
                else:
                    found.aside.append((self._name(path), "not a regular file (a pipe, socket or device)"))
        return found

    def _file(self, found: Listing, path: Path) -> None:
        name = self._name(path)
        try:
            status = path.lstat()
            found.add(name, status.st_size, status.st_mtime_ns, lambda: self._open(path, 16))
        except (OSError, SetAside) as error:
            found.aside.append((name, f"cannot be read: {error}"))

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _link(self, path: Path) -> str:
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError):
            return "a link that is broken or leads to itself"
        if target.is_relative_to(self.root):
            return "a link within the folder: what it points at is read where it lies"
        return "a link that leaves the folder: copy the files, or give the folder they are in"

    def _open(self, path: Path, limit: int | None = None) -> bytes:
        # Never block on a pipe, never follow a link, that took the file's place since it was listed.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SetAside("not a regular file (a pipe, socket or device)")
            return stream.read(limit) if limit else _bounded(stream)

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes | SetAside]]:
        for name in names:
            yield name, _attempt(lambda name=name: self._open(self.root / name))  # type: ignore[misc]


def unsafe(name: str) -> str | None:
    """Why a member's name may not be used, or None.

    >>> unsafe("a/../../etc/passwd"), unsafe("a/b.png")
    ('its name holds ".."', None)
    """
    parts = name.replace("\\", "/").split("/")
    if ".." in parts:
        return 'its name holds ".."'
    if not parts[0] or ":" in parts[0]:
        return "its name is absolute"
    return "its name holds a null byte" if "\0" in name else None


class Zip:
    """A zip archive, read in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def scan(self) -> Listing:
        found = Listing()
        with self._open() as archive:
            for member in archive.infolist():
                if member.is_dir():
                    continue
                kind = stat.S_IFMT(member.external_attr >> 16)
                reason = unsafe(member.filename)
                if kind == stat.S_IFLNK:
                    reason = "a link inside the archive"
                elif kind not in (0, stat.S_IFREG):
                    reason = "not a regular file inside the archive"
                if reason:
                    found.aside.append((member.filename, reason))
                else:
                    head = functools.partial(self._head, archive, member)
                    found.add(member.filename, member.file_size, member.CRC, head)
        return found

    def _open(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, ValueError, struct.error) as error:
            raise DataError(
                f"{self.path}: a damaged zip archive ({error}); fetch or make it again"
            ) from error

    @staticmethod
    def _head(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
        content = _attempt(lambda: archive.open(member).read(16))
        return content if isinstance(content, bytes) else b""

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes | SetAside]]:
        budget = Budget(self.path)
        with self._open() as archive:
            for name in names:
                yield name, _attempt(functools.partial(self._member, archive, name, budget))

    @staticmethod
    def _member(archive: zipfile.ZipFile, name: str, budget: Budget) -> bytes:
        with archive.open(name) as stream:
            return _bounded(stream, budget.spend)


class _Counted(io.RawIOBase):
    """A tar's unpacked bytes, counted; between two members only a header's worth may flow."""

    def __init__(self, stream: IO[bytes], budget: Budget) -> None:
        self.stream, self.budget, self.header = stream, budget, HEADER_LIMIT

    def read(self, size: int = -1) -> bytes:
        content = self.stream.read(size)
        self.budget.spend(len(content))
        self.header -= len(content)
        if self.header < 0:
            raise DataError(
                f"{self.budget.path}: a header of more than {HEADER_LIMIT >> 20} MiB in the archive"
            )
        return content


class Tar:
    """A tar archive, plain or compressed with gzip, xz or bzip2, read as a stream, in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def scan(self) -> Listing:
        found = Listing()
        for member, stream in self._members():
            reason = unsafe(member.name)
            if member.issym() or member.islnk():
                reason = "a link inside the archive"
            elif stream is None:
                reason = "not a regular file inside the archive (a pipe, device or sparse file)"
            if reason or stream is None:
                found.aside.append((member.name, str(reason)))
            else:
                found.add(member.name, member.size, int(member.mtime), functools.partial(stream.read, 16))
        return found

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes | SetAside]]:
        wanted = set(names)
        for member, stream in self._members():
            if stream is not None and member.name in wanted:
                wanted.discard(member.name)  # of two members of one name the first counts
                yield member.name, _attempt(functools.partial(_bounded, stream))

    def _members(self) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
        """Each member but folders, with its bytes where it is a regular file."""
        budget = Budget(self.path)
        with contextlib.ExitStack() as stack:
            try:
                counted = _Counted(stack.enter_context(_unpacked(self.path)), budget)
                archive = stack.enter_context(tarfile.open(fileobj=counted, mode="r|"))
                while True:
                    counted.header = HEADER_LIMIT
                    member = archive.next()
                    if member is None:
                        break
                    counted.header = budget.limit
                    stream = archive.extractfile(member) if member.isreg() and not member.issparse() else None
                    if not member.isdir():
                        yield member, stream
                    while stream is not None and stream.read(1 << 20):
                        pass  # drain what was not asked for, so that the next header starts here
            except (DataError, SetAside):
                raise
            except Exception as error:  # hostile archives raise whatever their decoder meets
                raise DataError(
                    f"{self.path}: a damaged or truncated archive ({error}); fetch or make it again"
                ) from error


def _unpacked(path: Path) -> IO[bytes]:
    with open(path, "rb") as stream:
        head = stream.read(6)
    if head.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.open(path))
    if head.startswith(b"\xfd7zXZ\0"):
        return lzma.open(path)
    return bz2.open(path) if head.startswith(b"BZh") else open(path, "rb")


def is_tar(path: Path) -> bool:
    """Whether a file is a tar archive, by its content; one cut off before its first member counts as one."""
    try:
        with _unpacked(path) as stream:
            tarfile.TarInfo.frombuf(stream.read(512), "utf-8", "surrogateescape")
    except EOFError:
        return True
    except (tarfile.TarError, OSError, lzma.LZMAError):
        return False
    return True
