"""The one training loop: it asks a game who moves, and makes the move."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zerosum import processes
from zerosum.draws import Draws, mix
from zerosum.games.game import Batch, Clock, Game, Terms, Turn
from zerosum.training.gradients import Move, NonFiniteError, reduce_move
from zerosum.training.state import State

__all__ = ["Hook", "Moment", "NonFiniteError", "Schedule", "Source", "train"]

Schedule = Callable[[Clock], Mapping[str, float | tuple[float, float]]]
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Source(Protocol):
    """Data by random access: sample `cursor + ids`, counted in images shown, over epochs."""

    size: int

    def __call__(self, cursor: int, ids: Tensor) -> Mapping[str, Tensor]:
        """{"real": [b, …] in [−1, 1] on the device, "labels": [b]} for sample ids [b]."""
        ...


@dataclass(frozen=True)
class Moment:
    """What a hook sees after each step: how far, what was seen ("player/name" → mean), and all state."""

    clock: Clock
    seen: Mapping[str, float]
    game: Game
    optimisers: Mapping[str, Optimizer]
    state: State


Hook = Callable[[Moment], bool | None]


def train(
    game: Game,
    source: Source,
    optimisers: Mapping[str, Optimizer],
    state: State,
    until_images: int,
    *,
    batch: int = 64,
    micro: int | None = None,
    ghost: bool = False,
    precision: Literal["fp32", "bf16", "fp16"] = "fp32",
    clip: float | None = None,
    schedules: Mapping[str, Schedule] | None = None,
    resets: Sequence[int] = (),
    hooks: Sequence[Hook] = (),
) -> State:
    """Play the game until `until_images` real images were shown, and return the state, moved on.

    `batch` is over all processes. `micro` cuts turns into parts of at most that many samples a
    process, exactly; turns whose nets mix the batch refuse, unless `ghost` lets each part have
    statistics of its own (ghost batch norm, Hoffer et al. 2017). `clip` bounds the norm of each
    player's gradient. A schedule gives an optimiser's settings (lr, momentum) from the clock. At `resets`,
    counts of images, all optimisers begin anew, their moments forgotten, and averages warm up again. A
    hook that returns True ends training after this step, on every process.

    Raises NonFiniteError at the first NaN or infinity in a loss or gradient, before the step is made;
    MemoryError with advice when the batch does not fit; ValueError for settings that cannot work.

    >>> from zerosum.games.adversarial import Adversarial
    >>> from zerosum.draws import Latent
    >>> from zerosum.objectives import non_saturating
    >>> class Coin:
    ...     size = 2
    ...     def __call__(self, cursor, ids):
    ...         return {"real": ((cursor + ids) % 2).float().unsqueeze(1)}
    >>> game = Adversarial(nn.Linear(1, 1), nn.Sequential(nn.Linear(1, 1), nn.Flatten(0)), Latent(1),
    ...                    non_saturating())
    >>> optimisers = {name: torch.optim.SGD(getattr(game, name).parameters(), lr=0.1)
    ...               for name in ("generator", "critic")}
    >>> train(game, Coin(), optimisers, State(), until_images=100, batch=10).clock
    Clock(step=10, images=100)
    """
    check_batch(batch, micro)
    table = _Table(
        game, source, optimisers, state, batch, micro, ghost, precision, clip, schedules or {}, resets
    )
    processes.share_batch_norm(game)
    game.train()
    devices = [table.device] if table.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):  # the caller's own random stream stays as it was
        while state.clock.images < until_images:
            began = time.perf_counter()
            seen = table.step()
            state.seconds += time.perf_counter() - began
            moment = Moment(state.clock, seen, game, optimisers, state)
            # Every hook is asked, so that one's wish to stop does not rob another of the step.
            stop = [hook(moment) for hook in hooks]
            if processes.any_of(any(stop), table.device):
                break
    return state


def check_batch(batch: int, micro: int | None = None) -> None:
    """Raise ValueError where a batch cannot be shared out or cut."""
    if batch < processes.count():
        raise ValueError(f"--batch {batch} leaves some of {processes.count()} processes without a sample")
    if micro is not None and micro < 1:
        raise ValueError(f"--micro must be at least 1, not {micro}")


@dataclass
class _Table:
    """Where a game is played: holds what does not change from step to step."""

    game: Game
    source: Source
    optimisers: Mapping[str, Optimizer]
    state: State
    batch: int
    micro: int | None
    ghost: bool
    precision: str
    clip: float | None
    schedules: Mapping[str, Schedule]
    resets: Sequence[int]

    def __post_init__(self) -> None:
        for name in self.schedules:
            if name not in self.optimisers:
                raise ValueError(
                    f"a schedule for {name!r}, but the optimisers are {', '.join(self.optimisers)}"
                )
        self.names = {id(p): name for name, p in self.game.named_parameters()}
        self.held = {
            player: [p for group in optimiser.param_groups for p in group["params"]]
            for player, optimiser in self.optimisers.items()
        }
        first = next(self.game.parameters(), None)
        self.device = torch.device("cpu") if first is None else first.device
        if self.precision == "fp16":
            for player in self.optimisers:
                scaler = torch.amp.GradScaler(self.device.type)
                self.state.scalers.setdefault(player, scaler)

    def step(self) -> dict[str, float]:
        """One step of the game: every turn once. Returns what was seen, averaged over a player's turns."""
        clock = self.state.clock
        phase = sum(begin <= clock.images for begin in self.resets)
        if phase > self.state.phase:
            for optimiser in self.optimisers.values():
                optimiser.state.clear()
            self.state.phase = phase
        images, index = clock.images, 0
        data: Mapping[str, Tensor] | None = None
        total = self.batch
        heard: dict[str, list[float]] = {}
        turns = self.game.turns(clock)
        turn = next(turns, None)
        while turn is not None:
            if turn.take != 0 or data is None:
                total = turn.take or self.batch
                share = processes.share_of(total)
                data = self.source(images, torch.arange(share.start, share.stop))
                images += 0 if turn.take == 0 else total
            move = self._play(turn, data, Draws(self.state.seed, clock.step, index), total, clock)
            for name, value in move.heard.items():
                heard.setdefault(f"{turn.player}/{name}", []).append(value)
            index += 1
            try:
                turn = turns.send(move.seen)
            except StopIteration:
                turn = None
        if images == clock.images:
            raise ValueError(
                f"{type(self.game).__name__}: a step showed no real images, so it would never end"
            )
        # An average warms up anew in each phase: what a net grows begins at random, and would tinge it.
        began = -(-self.resets[phase - 1] // (images - clock.images)) if phase else 0
        for name, average in self.state.averages.items():
            average.update(self.game.get_submodule(name), clock.step - began)
        self.state.clock = Clock(clock.step + 1, images)
        return {name: sum(values) / len(values) for name, values in heard.items()}

    def _play(self, turn: Turn, data: Mapping[str, Tensor], draw: Draws, total: int, clock: Clock) -> Move:
        if turn.player not in self.optimisers:
            raise ValueError(
                f"no optimiser for player {turn.player!r}; there are {', '.join(self.optimisers)}"
            )
        optimiser, held = self.optimisers[turn.player], self.held[turn.player]
        self._freeze_all_but(held)
        optimiser.zero_grad(set_to_none=True)
        # For modules that draw on their own, such as dropout: another stream a process.
        _seed(mix(self.state.seed, "stray", draw.step, draw.turn, processes.rank()), self.device)
        scaler = self.state.scalers.get(turn.player)
        share = processes.share_of(total)
        move = Move(turn.player, clock, len(held))
        with _advise_on_memory(total, self.micro):
            for start, stop in self._parts(turn, share):
                part = {k: v[start - share.start : stop - share.start] for k, v in data.items()}
                batch = Batch(part, Draws(draw.seed, draw.step, draw.turn, start, stop, self.device), total)
                terms = self._terms(turn, batch)
                loss = move.add(terms, (stop - start) / total, total)
                (loss if scaler is None else scaler.scale(loss)).backward()
        reduce_move(move, held)
        if scaler is not None:
            scaler.unscale_(optimiser)
        norm = move.finish(held)
        overflow = scaler is not None and math.isfinite(move.loss) and not math.isfinite(norm)
        if not (math.isfinite(norm) and math.isfinite(move.loss)) and not overflow:
            move.complain(self.game, data, {self.names.get(id(p), "?"): p for p in held})
        if self.clip is not None and norm > self.clip:
            torch._foreach_mul_([p.grad for p in held if p.grad is not None], self.clip / norm)
        if turn.player in self.schedules:
            for group in optimiser.param_groups:
                group.update(self.schedules[turn.player](clock))
        if scaler is None:
            optimiser.step()
        else:
            scaler.step(optimiser)  # skips the step after an overflow, and lowers the scale
            scaler.update()
            if scaler.get_scale() < 2**-20:
                move.complain(self.game, data, {self.names.get(id(p), "?"): p for p in held})
        return move

    def _terms(self, turn: Turn, batch: Batch) -> Terms:
        dtype = _DTYPES.get(self.precision)
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            return turn.terms(batch)

    def _parts(self, turn: Turn, share: range) -> Iterator[tuple[int, int]]:
        size = self.micro or len(share)
        if size < len(share) and not (turn.splits or self.ghost):
            raise ValueError(
                f"--micro {size}: the {turn.player}'s turn mixes the samples of its batch (batch norm, or a "
                "term of the whole batch), so it cannot be cut exactly. Lower --batch, choose nets without "
                "batch norm, or accept statistics of each part's own with --ghost"
            )
        for start in range(share.start, share.stop, max(size, 1)):
            yield start, min(start + size, share.stop)

    def _freeze_all_but(self, held: list[nn.Parameter]) -> None:
        for p in self.game.parameters():
            p.requires_grad_(False)
        for p in held:
            p.requires_grad_(True)


def _seed(seed: int, device: torch.device) -> None:
    """`torch.manual_seed` for the CPU and this device: asking every backend costs a fifth of a small step."""
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


@contextmanager
def _advise_on_memory(total: int, micro: int | None) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one too
        text = str(error)
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in text:
            raise
        half = max(1, (micro or total) // 2)
        raise MemoryError(
            f"memory ran out with {micro or total} samples at once: try --micro {half} (exact where nets do "
            "not mix the batch), a smaller --batch, --precision bf16, or a smaller --width. "
            f"({text.splitlines()[0]})"
        ) from error
