"""A run directory: the one interface between commands. `docs/run-directory.md` describes it.

Nothing in it is ever imported or executed: a recipe is looked up by name, settings are checked against
its signature, and checkpoints hold tensors and JSON alone.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import msgspec
from filelock import FileLock, Timeout

from zerosum.data.cache import replacing
from zerosum.names import unknown
from zerosum.training.checkpoint import CheckpointError, Saved, read

__all__ = [
    "DataFacts",
    "DataOptions",
    "Record",
    "RunDirectory",
    "RunError",
    "TrainingOptions",
    "find_checkpoint",
    "read_json",
    "record_of",
    "second_name",
]

_MOST_JSON = 2**20
KEEP = 3


class RunError(ValueError):
    """A run directory is not there, not whole, in use, or does not fit what is asked."""


@dataclass(frozen=True)
class DataOptions:
    """Where the data came from and how they were asked for.

    `labels` is a file of labels, or "own" for the data's; a run's record has it where the run is told them.
    """

    where: str
    size: tuple[int, int] | None = None
    channels: int | None = None
    range: tuple[float, float] | None = None
    flip: bool = False
    split: Literal["train", "val", "test"] = "train"
    labels: str | None = None


@dataclass(frozen=True)
class DataFacts(DataOptions):
    """The options, and what was found there: a run's data section."""

    name: str = ""
    count: int = 0
    fingerprint: str = ""
    classes: tuple[str, ...] = ()
    format: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    set_aside: int = 0

    @property
    def options(self) -> DataOptions:
        """What was asked for alone, to open the same data again."""
        return DataOptions(**{name: getattr(self, name) for name in DataOptions.__dataclass_fields__})


@dataclass(frozen=True)
class TrainingOptions:
    """How a run is trained, beside its recipe; `images` is its length, `every` images a checkpoint."""

    images: int
    every: int
    seed: int = 0
    device: str = "auto"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    micro: int | None = None
    ghost: bool = False
    clip: float | None = None

    def __post_init__(self) -> None:
        for name in ("images", "every", "micro"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"--{name} must be at least 1, not {value}")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"--clip must be positive, not {self.clip}")


@dataclass(frozen=True)
class Record:
    """What recipe.json holds: all that is needed to build the same system and train it the same way."""

    zerosum: str
    recipe: str
    arguments: dict[str, Any]
    data: DataFacts
    training: TrainingOptions
    environment: dict[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes that the run tells apart; () where it is told no labels."""
        return self.data.classes if self.data.labels is not None else ()

    def longer(self, images: int) -> "Record":
        """The same run, trained up to `images`."""
        return replace(self, training=replace(self.training, images=images))

    def plain(self) -> dict[str, Any]:
        """As JSON-ready dictionaries."""
        out: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return out


def read_json(path: Path) -> Any:
    """The JSON in a file of at most 1 MiB. Raises OSError, ValueError or RecursionError for what is none."""
    if path.stat().st_size > _MOST_JSON:
        raise ValueError("it is over 1 MiB")
    return json.loads(path.read_text("utf-8"), object_pairs_hook=_no_twins)


def record_of(plain: Any) -> Record:
    """A record from JSON. Raises ValueError where a field is missing, unknown or of another type."""
    record = msgspec.convert(plain, Record)
    for keys, kind in ((plain, Record), (plain["data"], DataFacts), (plain["training"], TrainingOptions)):
        for key in keys:
            if key not in kind.__dataclass_fields__:
                raise unknown("key", key, kind.__dataclass_fields__)
    return record


class RunDirectory:
    """The files of one run, by what they are for."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.best = self.checkpoints / "best.safetensors"
        self.metrics = self.path / "metrics.jsonl"
        self.measures = self.path / "measures.jsonl"
        self.recipe = self.path / "recipe.json"

    def refuse_if_taken(self) -> None:
        """Raise RunError where a run is already there."""
        if self.recipe.exists():
            raise RunError(
                f"{self.path} already holds a run: `zerosum resume {self.path}` goes on with it, or choose "
                "another --out"
            )

    def refuse_if_none(self) -> None:
        """Raise RunError where no run is there."""
        if not self.recipe.is_file():
            raise RunError(f"{self.path} is not a run directory: it has no recipe.json; name what --out made")

    def create(self, record: Record) -> None:
        """Make the directory for a new run. Raises RunError where one is already there."""
        self.refuse_if_taken()
        with self.writing(self.path):
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self.samples.mkdir(exist_ok=True)
        self.write_record(record)

    @contextmanager
    def writing(self, path: Path) -> Iterator[None]:
        """Raise RunError, naming `path` and what to do, where the disk is full or may not be written."""
        try:
            yield
        except OSError as error:
            raise RunError(
                f"{path}: cannot be written ({error.strerror}). Checkpoints already there are intact; make "
                f"room or give write permission, then `zerosum resume {self.path}`"
            ) from error

    def write_record(self, record: Record) -> None:
        """Write recipe.json, atomically."""
        text = json.dumps(record.plain(), indent=2, ensure_ascii=False) + "\n"
        with self.writing(self.recipe), replacing(self.recipe) as file:
            file.write(text.encode())

    def record(self) -> Record:
        """Read recipe.json. Raises RunError where it is missing, malformed or has unknown settings."""
        self.refuse_if_none()
        try:
            return record_of(read_json(self.recipe))
        except (OSError, ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            raise RunError(f"{self.recipe}: cannot be used ({error})") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory against a second training; a dead process's lock is free again."""
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RunError(
                f"{self.path} is in use: another process trains in it. Wait for it or stop it"
            ) from error
        except OSError as error:
            with self.writing(self.path):
                raise error
        try:
            self._sweep()
            yield
        finally:
            lock.release()

    def busy(self) -> bool:
        """Whether a process trains in it now; one that was killed holds nothing."""
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):  # held, or none of ours to hold
            return True
        lock.release()
        return False

    def _sweep(self) -> None:
        """Remove what a killed process left half-written."""
        for folder in (self.path, self.checkpoints, self.samples):
            # .tmp* is what safetensors writes before it renames; nothing else here is named so.
            for partial in (*folder.glob(".*.partial"), *folder.glob(".tmp*")):
                with suppress(OSError):
                    partial.unlink()

    def checkpoint(self, images: int) -> Path:
        """The path of the checkpoint after `images` real images."""
        return self.checkpoints / f"{images:012d}.safetensors"

    def numbered(self) -> list[Path]:
        """All numbered checkpoints, newest first."""
        return sorted(self.checkpoints.glob("[0-9]" * 12 + ".safetensors"), reverse=True)

    def newest(self) -> tuple[Saved, list[str]]:
        """The newest checkpoint that is whole, and why newer ones were passed over.

        Raises RunError where none is.
        """
        passed: list[str] = []
        for path in self.numbered():
            try:
                return read(path), passed
            except CheckpointError as error:
                passed.append(str(error))
        detail = "; ".join(passed) or "there is none yet: delete the directory and train anew"
        raise RunError(f"{self.checkpoints}: no usable checkpoint ({detail})")

    def prune(self, keep: int = KEEP) -> None:
        """Delete all but the newest `keep` numbered checkpoints, oldest first."""
        for path in reversed(self.numbered()[keep:]):
            with self.writing(path):
                path.unlink(missing_ok=True)

    def keep_as_best(self, path: Path, by: str = "") -> None:
        """Keep a checkpoint as best.safetensors, or best-VALUE.safetensors: as a second name, if possible."""
        best = self.checkpoints / f"best-{by}.safetensors" if by else self.best
        partial = self.checkpoints / f".{best.stem}.{os.getpid()}.partial"
        with self.writing(best):
            second_name(path, partial)
            os.replace(partial, best)

    def log(self, entry: Mapping[str, Any]) -> None:
        """Append a line to metrics.jsonl."""
        with self.writing(self.metrics), self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(entry), ensure_ascii=False) + "\n")

    def rewind(self, images: int) -> None:
        """Drop metrics and samples past `images`, which a resume will make again; events stay.

        Checkpoints past it were passed over as damaged: they are renamed, lest they count as the newest.
        """
        with self.writing(self.path):
            if self.metrics.is_file():
                lines = self.metrics.read_text("utf-8", errors="replace").splitlines()
                with replacing(self.metrics) as file:
                    file.writelines(f"{line}\n".encode() for line in lines if _stays(line, images))
            for path in self.samples.glob("[0-9]" * 12 + ".*"):
                if int(path.stem) > images:
                    path.unlink()
            for path in self.numbered():
                if int(path.stem) > images:
                    path.rename(path.with_suffix(".damaged"))


def second_name(path: Path, other: Path) -> None:
    """Give a file a second name, or a second copy where there are no hard links. Raises OSError."""
    try:
        os.link(path, other)
    except OSError:
        shutil.copyfile(path, other)


def find_checkpoint(path: str | Path) -> tuple[Saved, list[str]]:
    """A checkpoint file, or a run directory's newest whole one and why newer ones were passed over.

    Raises RunError or CheckpointError where `path` is neither; no other kind of file is ever opened.
    """
    path = Path(path).expanduser()
    if path.suffix == ".safetensors":
        return read(path), []
    run = RunDirectory(path)
    run.refuse_if_none()
    return run.newest()


def _stays(line: str, images: int) -> bool:
    try:
        entry = json.loads(line)
        told_again = entry.get("event", "watch") == "watch"  # numbers, and what the watch says of them
        return not told_again or entry["images"] <= images
    except (ValueError, KeyError, TypeError, AttributeError):
        return False  # cut by a crash


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a key occurs twice")
    return out
