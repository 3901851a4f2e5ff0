"""Arrays as they are found: .npy, .npz, IDX and CIFAR's binary records. No pickles, and bounded memory."""

import gzip
import math
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from zerosum.data.containers import Tar
from zerosum.data.formats import MOST_CHANNELS, DataError

MEMORY_LIMIT = 4 << 30  # bytes of one array that cannot be memory-mapped
Array = np.ndarray[Any, Any]
Lazy = Callable[[], Array]
NPY_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class Found(NamedTuple):
    """Images [N, ...], or the bytes of encoded files with their offsets; labels; the names of classes."""

    images: Array
    labels: Array | None = None
    classes: tuple[str, ...] = ()
    offsets: Array | None = (
        None  # int64 [N + 1]: image i is images[offsets[i]:offsets[i + 1]], an encoded file
    )


def read_npy(stream: IO[bytes], limit: int = MEMORY_LIMIT, name: str = "the array") -> Array:
    """One .npy array from a stream, refused from its header where it declares more than `limit` bytes."""
    try:
        version = np.lib.format.read_magic(stream)
        if version not in NPY_HEADERS:
            raise DataError(f"{name}: .npy version {version} is not read; save it with numpy.save")
        shape, fortran, dtype = NPY_HEADERS[version](stream)
        plain(dtype, name)
        if min(shape, default=0) < 0:
            raise DataError(f"{name}: declares the shape {shape}")
        count = math.prod(shape)
        if count * dtype.itemsize > limit:
            raise DataError(
                f"{name}: declares {count * dtype.itemsize:,} bytes, over the limit of {limit:,}; "
                "save it as one .npy file, which is memory-mapped"
            )
        content = stream.read(count * dtype.itemsize)
        if len(content) != count * dtype.itemsize:
            raise DataError(f"{name}: truncated: {len(content):,} of {count * dtype.itemsize:,} bytes")
        flat = np.frombuffer(content, dtype, count)
    except DataError:
        raise
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, struct.error, SyntaxError) as error:
        raise DataError(f"{name}: not a sound .npy array ({error}); save it again with numpy.save") from error
    return flat.reshape(shape, order="F" if fortran else "C")


def plain(dtype: np.dtype[Any], name: str) -> None:
    """Raises DataError for arrays of Python objects: they are pickles, and reading one can run code."""
    if dtype.hasobject:
        raise DataError(
            f"{name}: an array of Python objects (a pickle, which can run code) is not read; "
            "save it as an array of uint8, uint16 or float32, all images of one shape"
        )


def map_npy(path: Path) -> Array:
    """An .npy file memory-mapped, not read."""
    try:
        with path.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            plain(NPY_HEADERS[version](stream)[2], str(path))
        mapped: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except DataError:
        raise
    except (ValueError, OSError, EOFError, KeyError) as error:
        raise DataError(f"{path}: not a sound .npy file ({error}); save it again with numpy.save") from error
    return mapped


def read_npz(file: Path | IO[bytes], limit: int = MEMORY_LIMIT) -> dict[str, Lazy]:
    """The arrays of an .npz by name, each read when called for."""
    name = str(file) if isinstance(file, Path) else "the .npz"
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise DataError(f"{name}: not a sound .npz file ({error}); save it again with numpy.savez") from error

    def lazy(member: str) -> Lazy:
        def read() -> Array:
            with archive.open(member) as stream:
                return read_npy(stream, limit, f"{name}, array {member.removesuffix('.npy')!r}")

        return read

    return {
        member.removesuffix(".npy"): lazy(member) for member in archive.namelist() if member.endswith(".npy")
    }


def from_npz(path: Path, split: str) -> Found:
    """Images and labels out of an .npz by the names of its arrays.

    Images are `x_<split>`, `<split>_images`, `images`, `x`, `data` or `arr_0`; labels `y_<split>`,
    `<split>_labels`, `labels` or `y`; or `<split>_bytes` with `<split>_offsets`, encoded files end to end.
    """
    arrays = read_npz(path)
    classes = next((arrays[key]() for key in ("class_names", "classes") if key in arrays), np.array([], "U1"))
    names = tuple(str(name) for name in classes.ravel()) if classes.dtype.kind == "U" else ()
    labels = _one(
        arrays, (f"y_{split}", f"{split}_labels", f"labels_{split}"), ("labels", "y", "label"), split
    )
    offsets = arrays.get(f"{split}_offsets")
    if f"{split}_bytes" in arrays and offsets is not None:
        return _encoded(path, Found(arrays[f"{split}_bytes"](), labels and labels(), names, offsets()))
    images = _one(
        arrays,
        (f"x_{split}", f"{split}_images", f"images_{split}", f"X_{split}"),
        ("images", "x", "X", "data", "samples", "arr_0"),
        split,
    )
    if images is None and len(arrays) == 1:
        images = next(iter(arrays.values()))
    if images is None:
        raise DataError(
            f"{path}: which array holds the {split} images? It has {', '.join(arrays) or 'none'}; "
            f"name it images or x_{split}"
        )
    return Found(images(), labels and labels(), names)


def _one(
    arrays: Mapping[str, Lazy], of_split: tuple[str, ...], general: tuple[str, ...], split: str
) -> Lazy | None:
    """The one array of these names: those of the split first; the general ones are for training alone."""
    for keys in (of_split, general if split == "train" else ()):
        present = [key for key in keys if key in arrays]
        if len(present) > 1:
            raise DataError(f"arrays {', '.join(present)} could each be meant; keep one of them")
        if present:
            return arrays[present[0]]
    return None


def _encoded(path: Path, found: Found) -> Found:
    offsets = found.offsets
    if offsets is None or offsets.ndim != 1 or offsets.dtype.kind not in "iu" or len(offsets) < 2:
        raise DataError(f"{path}: its offsets are not whole numbers [N + 1]")
    if found.images.dtype != np.uint8 or found.images.ndim != 1:
        raise DataError(f"{path}: its encoded images are not bytes [n]")
    offsets = offsets.astype(np.int64)
    if offsets[0] < 0 or offsets[-1] > len(found.images) or bool((np.diff(offsets) < 0).any()):
        raise DataError(f"{path}: its offsets do not rise from 0 to its {len(found.images):,} bytes")
    return found._replace(offsets=offsets)


IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path: Path) -> Array:
    """An array in the IDX form of MNIST, gzipped or not."""
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as stream:
            head = stream.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in IDX_TYPES or not 1 <= head[3] <= 4:
                raise DataError(f"{path}: not an IDX file")
            shape = struct.unpack(f">{head[3]}I", stream.read(4 * head[3]))
            dtype = np.dtype(IDX_TYPES[head[2]])
            size = math.prod(shape) * dtype.itemsize
            if size > MEMORY_LIMIT:
                raise DataError(f"{path}: declares {size:,} bytes, over the limit of {MEMORY_LIMIT:,}")
            content = stream.read(size + 1)
    except (OSError, EOFError, struct.error) as error:
        raise DataError(f"{path}: damaged or truncated ({error}); fetch it again") from error
    if len(content) != size:
        raise DataError(
            f"{path}: damaged or truncated: it should hold {size:,} bytes of values; fetch it again"
        )
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def is_idx(path: Path) -> bool:
    """Whether a file begins as an IDX file does."""
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as stream:
            head = stream.read(4)
    except (OSError, EOFError):
        return False
    return len(head) == 4 and head[:2] == b"\0\0" and head[2] in IDX_TYPES and 1 <= head[3] <= 4


def labels_beside(path: Path) -> Path | None:
    """The IDX file of labels beside one of images, named alike, gzipped or not."""
    name = re.sub(r"images([-.])idx3", r"labels\1idx1", path.name).removesuffix(".gz")
    both = [path.with_name(name), path.with_name(name + ".gz")]
    return next((file for file in both if file.is_file() and file.name != path.name), None)


def from_idx(path: Path) -> Found:
    """The images of an IDX file, with the labels of the file beside it that is named alike."""
    beside = labels_beside(path)
    return Found(read_idx(path), read_idx(beside) if beside else None)


CIFAR_RECORD = 1 + 3 * 32 * 32


def from_cifar(path: Path, names: list[str], split: str) -> Found:
    """CIFAR-10's binary version: records of a label and 3x32x32 bytes."""
    pattern = r"data_batch_\d+\.bin$" if split == "train" else r"test_batch\.bin$"
    chosen = sorted(name for name in names if re.search(pattern, name))
    meta = [name for name in names if name.endswith("batches.meta.txt")]
    contents = dict(Tar(path).read(chosen + meta))
    parts = []
    for name in chosen:
        content = contents.get(name)
        if not isinstance(content, bytes) or not content or len(content) % CIFAR_RECORD:
            raise DataError(f"{path}: {name} does not hold whole CIFAR-10 records; fetch the archive again")
        parts.append(np.frombuffer(content, np.uint8).reshape(-1, CIFAR_RECORD))
    if not parts:
        raise DataError(f"{path}: holds no {split} batches")
    records = np.concatenate(parts)
    words = contents.get(meta[0]) if meta else None
    classes = tuple(words.decode("ascii", "replace").split()) if isinstance(words, bytes) else ()
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Found(np.ascontiguousarray(images), records[:, 0].astype(np.int64), classes)


def arranged(images: Array, where: str) -> Array:
    """An array's samples as [N, H, W, C], or [N, D] for points; the layout must not be open to doubt.

    >>> arranged(np.zeros((5, 3, 32, 32)), "a.npy").shape, arranged(np.zeros((5, 32, 32)), "a.npy").shape
    ((5, 32, 32, 3), (5, 32, 32, 1))
    """
    shape = images.shape
    if images.ndim == 2 and images.dtype.kind == "f":
        return images
    if images.ndim == 3 and shape[2] > MOST_CHANNELS:
        return images[..., None]
    if images.ndim == 4:
        first, last = shape[1] <= MOST_CHANNELS, shape[3] <= MOST_CHANNELS
        if last and not first:
            return images
        if first and not last:
            return images.transpose(0, 2, 3, 1)
    raise DataError(
        f"{where}: an array of shape {shape} is not clearly a set of images; expected [N, H, W], "
        f"[N, H, W, C] or [N, C, H, W] with C from 1 to {MOST_CHANNELS}, sides above, or float points [N, D]"
    )
