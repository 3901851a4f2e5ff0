"""What a run writes while it trains: metrics, sample grids, checkpoints, and a bar for people."""

import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any, Self

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from zerosum import processes
from zerosum.data.formats import Format
from zerosum.data.pictures import PER_ROW, ROWS, picture, save_image, suffix_of
from zerosum.draws import Draws, mix
from zerosum.games.adversarial import Adversarial
from zerosum.interruption import Interruption
from zerosum.recipes.system import System
from zerosum.rundir import Record, RunDirectory, RunError
from zerosum.trained import generate, in_turn
from zerosum.training import checkpoint
from zerosum.training.gradients import NonFiniteError, first_non_finite
from zerosum.training.loop import Moment, Source
from zerosum.training.state import State
from zerosum.training.watch import Notice, Watch
from zerosum.training.watch_remedies import Situation
from zerosum.training.watch_samples import Shelf, beside
from zerosum.training.watch_scale import flattens, scale_of
from zerosum.transport import coarse, sliced_wasserstein

__all__ = ["Recorder"]

MINUTES = 10.0  # a checkpoint at least this often, whatever the interval in images
LINES = 20  # metrics lines an interval
GRID = 64
SCORED = 1024
SCORE = "score/swd"  # sliced Wasserstein distance in pixels: coarse, cheap, for any data
FLOOR = "score/floor"  # the same of real samples beside as many other real ones
AT_ONCE = 256


class Recorder:
    """A hook of the training loop that keeps a run directory up to date; only the first process writes.

    Enter it around `train`; on leaving, the state is saved and the ending is logged.
    """

    def __init__(
        self,
        run: RunDirectory,
        record: Record,
        system: System,
        format: Format,
        source: Source,
        state: State,
        interruption: Interruption,
        console: Console,
        since: Sequence[Mapping[str, float]] = (),
    ) -> None:
        self.run, self.record, self.interruption = run, record, interruption
        self.system, self.format, self.source = system, format, source
        self.console = console
        self.classes = min(len(record.classes), ROWS)  # shown in a grid
        self.writes = processes.rank() == 0
        self.line_every = max(1, record.training.every // LINES)
        self.last = state.clock
        self.since = list(since)  # what was seen at each step since the last metrics line
        self.began = self.since_when = (state.clock.images, state.seconds)
        self.saved_at, self.saved_when = state.clock.images, time.monotonic()
        self.moment: Moment | None = None
        self.best = _best_so_far(run, state)
        self.board: Any = None
        self.bar: Progress | None = None
        self.watch = watch_of(record, system)
        self.floor: float | None = None
        self.shelf: Shelf | None = None
        if self.writes:
            for line in _logged(run):  # so that a resumed run goes on watching where it was
                self.watch(line)

    def __enter__(self) -> Self:
        if self.writes:
            self.board = _tensorboard(self.run, self.last.images)
            if self.classes < len(self.record.classes):
                self.console.print(f"grids show the first {ROWS} of {len(self.record.classes)} classes")
            self.bar = _progress(self.console)
            self.bar.start()
            self.task = self.bar.add_task(
                "training", total=self.record.training.images, completed=self.last.images, seen="", rate=0.0
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()
        if self.moment and kind is None and self.moment.clock.images > self.saved_at:
            self.save(self.moment)
        if self.writes:
            images = self.last.images
            if error is not None:
                with suppress(RunError):  # the error itself may be a full disk
                    self.event("failed", images, f"{type(error).__name__}: {error}")
            elif images >= self.record.training.images:
                self.event("finished", images)
            else:
                self.event("stopped", images, f"signal {self.interruption.signal}")
        if self.board:
            self.board.close()

    def event(
        self, what: str, images: int, message: str = "", about: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Log that training started, stopped, …"""
        if self.writes:
            when = datetime.now(UTC).isoformat(timespec="seconds")
            self.run.log({"event": what, "images": images, "time": when, "message": message, **about})

    def _tell(self, notice: Notice) -> None:
        """Log a diagnosis that begins or ends, and say it."""
        about = {
            "diagnosis": notice.diagnosis,
            "state": "begins" if notice.begins else "ends",
            "evidence": notice.evidence,
            "remedies": " or ".join(notice.remedies),
        }
        self.event("watch", notice.images, notice.message, about)
        self.console.print(
            f"watch, {notice.images:,} images: {notice.message}", highlight=False, soft_wrap=True
        )

    def __call__(self, moment: Moment) -> bool:
        """The hook: called after each step."""
        before, self.last, self.moment = self.last.images, moment.clock, moment
        self.since.append(moment.seen)
        if self.bar:
            rate = (moment.clock.images - self.began[0]) / max(moment.state.seconds - self.began[1], 1e-9)
            seen = "  ".join([*(f"{name}!" for name in self.watch.active), _for_people(moment.seen)])
            self.bar.update(self.task, completed=moment.clock.images, seen=seen, rate=rate)
        training = self.record.training
        due = (
            moment.clock.images >= training.images
            or before // training.every != moment.clock.images // training.every
        )
        score = self._look(moment) if due and self.writes else {}
        if due or before // self.line_every != moment.clock.images // self.line_every:
            self._line(moment, score)
        if due or time.monotonic() - self.saved_when > MINUTES * 60:
            self.save(moment, score.get(SCORE))
        return bool(self.interruption.signal)

    def _line(self, moment: Moment, score: Mapping[str, float]) -> None:
        images, seconds = moment.clock.images, moment.state.seconds
        names = dict.fromkeys(name for seen in self.since for name in seen)
        means = dict(score)
        for name in names:
            values = [seen[name] for seen in self.since if name in seen]
            means[name] = sum(values) / len(values)
        rate = (images - self.since_when[0]) / max(seconds - self.since_when[1], 1e-9)
        self.since, self.since_when = [], (images, seconds)
        if not self.writes:
            return
        line = {
            "step": moment.clock.step,
            "images": images,
            "seconds": round(seconds, 3),
            "rate": round(rate, 2),
        }
        whole = {**line, **means}
        self.run.log(whole)
        for notice in self.watch(whole):
            self._tell(notice)
        if self.board:
            for name, value in means.items():
                self.board.add_scalar(name, value, images)
            self.board.add_scalar("rate", rate, images)

    def save(self, moment: Moment, score: float | None = None) -> None:
        """Write a checkpoint, keep it as the best if it is, and delete the oldest."""
        self.saved_at, self.saved_when = moment.clock.images, time.monotonic()
        if not self.writes:
            return
        path = self.run.checkpoint(moment.clock.images)
        about = {**self.record.plain(), SCORE: score, "since": self.since}
        checkpoint.write(path, moment.game, moment.optimisers, moment.state, about)
        if score is not None and score < self.best:
            self.best = score
            self.run.keep_as_best(path)
        self.run.prune()

    def _look(self, moment: Moment) -> dict[str, float]:
        """Write a grid of samples from latents that stay the same, and score them."""
        average = moment.state.averages.get(self.system.generator)
        module = average.module if average else moment.game.get_submodule(self.system.generator)
        bad = first_non_finite(iter(module.state_dict().items()))
        if bad:
            raise NonFiniteError(f"step {moment.clock.step}: the generator's {bad[0]!r} is {bad[1]}")
        batch = self.source(0, torch.arange(min(SCORED, self.source.size)))
        real = coarse(batch["real"].float().cpu())
        seed, latent, classes = mix(self.record.training.seed, "grid"), self.system.latent, self.classes
        if self.system.shown is not None:
            draws = Draws(seed, stop=len(real), device=batch["real"].device)
            rows = _rows(self.system.shown, module, batch["real"], draws)
            fake, shown = rows[:, -1], rows.flatten(0, 1)[:GRID]
        elif classes:  # fakes of the reals' classes are scored, and all classes shown
            fake = generate(module, latent, Draws(seed, stop=len(real)), batch["labels"])
            labels = in_turn(PER_ROW * classes, range(classes))
            shown = generate(module, latent, Draws(seed, stop=len(labels)), labels)
        else:
            fake = generate(module, latent, Draws(seed, stop=max(GRID, len(real))))
            shown = fake[:GRID]
        path = save_grid(self.run, moment.clock.images, shown, self.format, classes)
        judged = coarse(fake[: len(real)])
        score = sliced_wasserstein(real, judged)
        if not self.console.is_terminal:
            line = f"{moment.clock.images:,} images, {_for_people(moment.seen)}  swd {score:.4f}: {path}"
            self.console.print(line, highlight=False, soft_wrap=True)
        seen = {SCORE: score, **beside(real, judged, batch["labels"] if classes else None)}
        return seen | self._standard(real) | self._copies(fake)

    def _standard(self, real: Tensor) -> dict[str, float]:
        """What real samples score beside others, of which there are as many, or half where data are few."""
        if self.floor is None:
            count = len(real)
            if self.source.size >= 2 * count:
                other = coarse(self.source(0, torch.arange(count, 2 * count))["real"].float().cpu())
            else:
                count //= 2
                other = real[count : 2 * count]
            self.floor = sliced_wasserstein(real[:count], other) if count else 0.0
        return {FLOOR: self.floor}

    def _copies(self, fake: Tensor) -> dict[str, float]:
        """Whether samples are copies of training images, where there are enough to tell."""
        if fake.dim() < 4 or self.system.shown is not None:  # what was made of an image is like it
            return {}
        if self.shelf is None:
            parts = torch.arange(Shelf.wanted(self.source.size)).split(AT_ONCE)
            images = [Shelf.small(self.source(0, part)["real"]).cpu() for part in parts]
            self.shelf = Shelf(torch.cat(images))
        return self.shelf.copies(fake)


def watch_of(record: Record, system: System) -> Watch:
    """The watch over a run, which knows the objective and what the run's settings leave to change."""
    scale, flat = None, False
    if isinstance(system.game, Adversarial):
        objective = system.game.objective
        # A mixing objective asks all processes for their means, and only one watches.
        scale = None if objective.mixes and processes.count() > 1 else scale_of(objective.critic)
        flat = not objective.mixes and flattens(objective.generator)
    now = Situation(
        record.arguments,
        bounded=scale is not None,
        flat=flat,
        classes=len(record.classes),
        images=len(record.data.format["shape"]) == 3,
        flip=record.data.flip,
        clip=record.training.clip,
    )
    return Watch(now, scale, system.resets)


def _logged(run: RunDirectory) -> list[dict[str, float]]:
    """The lines of numbers in a run's metrics.jsonl so far, which a resume has cleared of what was cut."""
    if not run.metrics.is_file():
        return []
    entries = map(json.loads, run.metrics.read_text("utf-8").splitlines())
    return [entry for entry in entries if "event" not in entry]


@torch.inference_mode()
def _rows(
    shown: Callable[[nn.Module, Tensor, Draws], Tensor], module: nn.Module, real: Tensor, draws: Draws
) -> Tensor:
    """What a net that is fed images makes of these, in evaluation mode, some at a time; on the CPU."""
    was_training = module.training
    module.eval()
    starts = range(0, len(real), GRID)
    parts = (draws.part(start, min(start + GRID, len(real))) for start in starts)
    rows = [shown(module, real[part.start : part.stop].float(), part).cpu() for part in parts]
    module.train(was_training)
    return torch.cat(rows)


def _best_so_far(run: RunDirectory, state: State) -> float:
    """The score of the best checkpoint, if it is of this run's past."""
    try:
        saved = checkpoint.read(run.best)
    except checkpoint.CheckpointError:
        return math.inf
    score = saved.meta["about"].get(SCORE)
    return score if isinstance(score, float) and saved.clock.images <= state.clock.images else math.inf


def save_grid(run: RunDirectory, images: int, samples: Tensor, format: Format, classes: int = 0) -> str:
    """Write one grid into samples/, a row a class if there are any; returns its path."""
    drawn = picture(format.encode(samples), format, classes)
    path = run.samples / f"{images:012d}{suffix_of(drawn)}"
    with run.writing(path):
        save_image(path, drawn)
    return str(path)


def _for_people(seen: Mapping[str, float]) -> str:
    """Loss terms and D's readings, short."""
    hidden = ("gradient",)
    return "  ".join(f"{name} {value:.3g}" for name, value in seen.items() if not name.endswith(hidden))


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} images"),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]:,.0f} img/s"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[seen]}"),
        console=console,
        disable=not console.is_terminal,
        refresh_per_second=4,
    )


def _tensorboard(run: RunDirectory, images: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(run.path / "tensorboard"), purge_step=images)


def console() -> Console:
    """Where people are told things: standard error, so that standard output stays data."""
    # No markup: a file's name may hold brackets.
    return Console(file=sys.stderr, markup=False, quiet=processes.rank() > 0)
