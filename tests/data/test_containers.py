"""Folders and archives that are hostile: nothing hangs, nothing leaves the target, memory stays bounded."""

import gzip
import io
import os
import shutil
import stat
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.conftest import Make
from zerosum.data import DataError, containers, open_data


def picture(seed: int = 0, side: int = 16) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(256, size=(side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content), kind, link
    return info, content


def tar(path: Path, mode: str, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return path


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_links_pipes_and_hidden_files_are_told_and_never_followed(photos: Make, tmp_path: Path) -> None:
    folder = photos(3)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(picture(9))
    (folder / "loop").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    (folder / "out.png").symlink_to(outside / "secret.png")
    (folder / "outdir").symlink_to(outside)
    (folder / "again.png").symlink_to(folder / "good0.png")
    (folder / "gone.png").symlink_to(folder / "nothing.png")
    os.mkfifo(folder / "pipe.png")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "h.png").write_bytes(picture())
    (folder / "notes.txt").write_text("x")
    (folder / "weights.pt").write_bytes(b"x")
    check = open_data(folder).check
    assert (check.kept, check.found) == (3, 11)
    reasons = dict(check.set_aside)
    assert "leaves the folder" in reasons["out.png"]
    assert "leaves the folder" in reasons["outdir"]
    assert "within the folder" in reasons["loop"]
    assert "within the folder" in reasons["again.png"]
    assert "broken" in reasons["self"]
    assert "broken" in reasons["gone.png"]
    assert "pipe" in reasons["pipe.png"]
    assert "pickle can run code" in reasons["weights.pt"]
    assert check.notes == ("2 files that are no images passed over",)


def test_names_that_are_no_unicode_are_read_and_told(photos: Make) -> None:
    folder = photos(1)
    good, bad = os.fsencode(folder) + b"/\xff.png", os.fsencode(folder) + b"/\xfe.png"
    with open(good, "wb") as file, open(bad, "wb"):
        file.write(picture())
    for _ in range(2):
        check = open_data(folder).check
        assert (check.kept, check.set_aside[0][0]) == (2, "\\udcfe.png")


def test_a_folder_that_cannot_be_read_is_told(photos: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos(2)
    (folder / "locked").mkdir()
    real = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert open_data(folder).check.set_aside == (("locked", "folder cannot be read: Permission denied"),)


@pytest.mark.parametrize("replacement", ["nothing", "pipe", "link"])
def test_a_file_that_goes_after_the_listing_is_told(
    photos: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replacement: str
) -> None:
    folder = photos(3)
    scan = containers.Folder.scan

    def scan_then_lose(self: containers.Folder) -> containers.Listing:
        found = scan(self)
        (folder / "good1.png").unlink()
        if replacement == "pipe":
            os.mkfifo(folder / "good1.png")
        if replacement == "link":
            (folder / "good1.png").symlink_to(folder / "good0.png")
        return found

    monkeypatch.setattr(containers.Folder, "scan", scan_then_lose)
    check = open_data(folder).check
    assert check.kept == 2
    assert [name for name, _ in check.set_aside] == ["good1.png"]
    assert {"nothing": "gone", "pipe": "a pipe", "link": "cannot be read"}[replacement] in check.set_aside[0][
        1
    ]


def test_tar_members_that_are_unsafe_are_set_aside(tmp_path: Path, own_cache: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    path = tar(
        inner / "set.tar.gz",
        "w:gz",
        member("good.png", picture()),
        member("../../escape.png", picture(1)),
        member("/absolute.png", picture(2)),
        member("link.png", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        member("hard.png", kind=tarfile.LNKTYPE, link="good.png"),
        member("device.png", kind=tarfile.CHRTYPE),
        member("fifo.png", kind=tarfile.FIFOTYPE),
        member("broken.png", picture()[:99]),
    )
    before = files_below(tmp_path)
    check = open_data(path).check
    assert check.kept == 1
    assert dict(check.set_aside) == {
        "../../escape.png": 'its name holds ".."',
        "/absolute.png": "its name is absolute",
        "link.png": "a link inside the archive",
        "hard.png": "a link inside the archive",
        "device.png": "not a regular file inside the archive (a pipe, device or sparse file)",
        "fifo.png": "not a regular file inside the archive (a pipe, device or sparse file)",
        "broken.png": dict(check.set_aside)["broken.png"],
    }
    assert files_below(tmp_path) == before
    assert {Path(name).suffix for name in files_below(own_cache)} == {".npy", ".json", ".lock"}


def test_zip_members_that_are_unsafe_are_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.png", picture())
        archive.writestr("../escape.png", picture(1))
        archive.writestr("/absolute.png", picture(2))
        archive.writestr("C:\\windows.png", picture(3))
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, picture(4))
        fifo = zipfile.ZipInfo("fifo.png")
        fifo.external_attr = (stat.S_IFIFO | 0o666) << 16
        archive.writestr(fifo, picture(5))
        archive.writestr("data.pkl", b"\x80\x04.")
    check = open_data(path).check
    assert check.kept == 1
    assert {name for name, _ in check.set_aside} == {
        *("../escape.png", "/absolute.png", "C:\\windows.png", "link.png", "fifo.png", "data.pkl")
    }
    assert dict(check.set_aside)["link.png"] == "a link inside the archive"


@pytest.fixture
def low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MEMBER_LIMIT", 4 << 20)
    monkeypatch.setattr(containers, "TOTAL_LIMIT", 12 << 20)
    monkeypatch.setattr(containers, "HEADER_LIMIT", 1 << 20)
    monkeypatch.setattr(containers, "RATIO_LIMIT", 1)


def traced(call: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.usefixtures("low_limits")
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_one_large_member_is_set_aside_and_many_refuse_the_archive(tmp_path: Path, kind: str) -> None:
    def archive(name: str, bombs: int) -> Path:
        path = tmp_path / name
        if kind == "tar":
            large = [member(f"{i}.png", bytes(6 << 20)) for i in range(bombs)]
            return tar(path, "w:gz", member("good.png", picture()), *large)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("good.png", picture())
            for i in range(bombs):
                file.writestr(f"{i}.png", bytes(6 << 20))
        return path

    check = open_data(archive("one", 1)).check
    assert check.set_aside == (("0.png", "larger than 4 MiB: split it or shrink it"),)

    def refused() -> None:
        with pytest.raises(DataError, match="unpacks to more than"):
            open_data(archive("many", 5))

    assert traced(refused) < 40 << 20


def test_a_size_that_is_declared_small_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "lies.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.png", picture())
        archive.writestr("bomb.png", bytes(8 << 20))
    content = path.read_bytes().replace((8 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    path.write_bytes(content)
    check = open_data(path).check
    assert check.kept == 1
    assert check.set_aside[0][0] == "bomb.png"


@pytest.mark.usefixtures("low_limits")
def test_a_tar_header_bomb_is_refused_within_bounded_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 10 << 20
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb") as stream:
        stream.write(header.tobuf() + bytes(10 << 20))

    def refused() -> None:
        with pytest.raises(DataError, match="header"):
            open_data(path)

    assert traced(refused) < 8 << 20


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_every_compression_is_read_and_a_truncated_archive_is_an_error(tmp_path: Path, mode: str) -> None:
    path = tar(tmp_path / "set.tar", mode, *(member(f"./{i}.png", picture(i)) for i in range(5)))
    assert len(open_data(path)) == 5
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(DataError, match=r"set\.tar: a damaged or truncated archive"):
        open_data(path)


def test_a_damaged_zip_is_an_error_and_a_damaged_member_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(3):
            archive.writestr(f"{i}.png", picture(i))
    content = bytearray(path.read_bytes())
    content[200] ^= 255
    path.write_bytes(content)
    assert [name for name, _ in open_data(path).check.set_aside] == ["0.png"]
    path.write_bytes(content[:-30])
    with pytest.raises(DataError, match=r"set\.zip: a damaged zip"):
        open_data(path)


def test_folder_zip_tar_and_array_give_one_fingerprint(photos: Make, tmp_path: Path) -> None:
    folder = photos(4)
    (folder / "sub").mkdir()
    shutil.move(folder / "good2.png", folder / "sub" / "a.png")
    shutil.make_archive(str(tmp_path / "z"), "zip", folder)
    shutil.make_archive(str(tmp_path / "t"), "gztar", folder)
    found = open_data(folder)
    names = ["good0.png", "good1.png", "good3.png", "sub/a.png"]
    tar(tmp_path / "r.tar", "w", *(member(name, (folder / name).read_bytes()) for name in names[::-1]))
    np.savez(tmp_path / "n.npz", images=found.samples)
    np.save(tmp_path / "n.npy", found.samples.transpose(0, 3, 1, 2))
    marks = {
        open_data(tmp_path / name).fingerprint for name in ("z.zip", "t.tar.gz", "r.tar", "n.npz", "n.npy")
    }
    assert marks == {found.fingerprint}
