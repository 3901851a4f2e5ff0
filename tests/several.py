"""What each of several processes computes in tests/training/test_several_processes.py; run by path.

`several.py RANK COUNT MEETING OUT [CHECKPOINT]` writes its results to OUT as safetensors. With a checkpoint
it only goes on from there.
"""

import sys
from collections.abc import Callable, Generator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests import small
from zerosum import processes
from zerosum.draws import Latent
from zerosum.games.game import Batch, Clock, Game, Terms, Turn
from zerosum.recipes.parts import OBJECTIVES
from zerosum.training.checkpoint import read, restore, write
from zerosum.training.gradients import NonFiniteError
from zerosum.training.loop import Moment, train
from zerosum.training.state import State

SGD: dict[str, Any] = {"optimiser": "sgd:momentum=0.5", "lr": 0.05}
PLAIN: dict[str, Any] = {**SGD, "norm": "none", "critic_norm": "none"}
NORMS: dict[str, Any] = {"norm": "batch", "critic_norm": "batch", "side": 16}
R1 = ("r1:weight=1,every=2",)
EXACT: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    **{
        name: ("dcgan", {**PLAIN, "objective": name, "penalty": R1}, {}) for name in OBJECTIVES if name != "f"
    },
    "f": ("dcgan", {**PLAIN, "objective": "f:hellinger", "penalty": R1}, {}),
    "layer norm": ("dcgan", {**PLAIN, "critic_norm": "layer", "penalty": R1}, {}),
    "wgan-gp": ("wgan-gp", {**PLAIN, "critic_norm": "layer"}, {}),
    "spectral norm": ("dcgan", {**PLAIN, "constraint": "spectral-norm"}, {}),
    "residual": ("wgan-gp-resnet", {**PLAIN, "batch": 7}, {"micro": 3}),
    "shared fakes": ("dcgan", {**PLAIN, "fakes": "shared"}, {}),
    "generator first": ("dcgan", {**PLAIN, "first": "generator"}, {}),
    "uneven": ("dcgan", {**PLAIN, "batch": 7, "penalty": R1}, {}),
    "micro": ("dcgan", {**PLAIN, "penalty": R1}, {"micro": 2}),
    "uneven averages": ("dcgan", {**PLAIN, "batch": 7, "objective": "relativistic-average"}, {}),
    "uneven micro": ("dcgan", {**PLAIN, "batch": 7}, {"micro": 3}),
    "clipped": ("dcgan", {**PLAIN, "penalty": R1}, {"clip": 0.01}),
    "growing": ("progan", {**SGD, "stable": 8, "fade": 16, "batch": 7, "stddev_group": 3}, {}),
    "told labels": (
        "cgan",
        {"generator_dropout": 0.0, "dropout": (0.0, 0.0), "optimiser": "sgd:momentum=0.5", "lr": 0.05},
        {"micro": 3},
    ),
    "telling labels": ("acgan", {**PLAIN, "penalty": R1, "batch": 7}, {}),
    "maxout": ("gan", {"dropout": (0.0, 0.0), "optimiser": "sgd:momentum=0.5", "lr": 0.05}, {}),
    **{
        name: ("dcgan", {**PLAIN, **settings}, {})
        for name, settings in {
            "minibatch discrimination": {
                "batch_layer": "minibatch-discrimination:kernels=3,size=2",
                "batch": 7,
            },
            "minibatch stddev": {"batch_layer": "minibatch-stddev:group=3", "batch": 7, "penalty": R1},
            "packs": {"pack": 2, "penalty": R1},
            "feature matching": {"feature_matching": 10.0, "batch": 7},
            "unrolled": {"unroll": 2, "batch": 7},
            "unrolled, relativistic average": {
                "unroll": 2,
                "batch": 7,
                "objective": "relativistic-average",
                "batch_layer": "minibatch-stddev",
            },
        }.items()
    },
}
BATCH_NORM: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "batch norm": ("dcgan", {**PLAIN, **NORMS}, {}),
    "batch norm, shared": (
        "dcgan",
        {**PLAIN, **NORMS, "fakes": "shared"},
        {},
    ),
    "class batch norm, projection": (
        "projection-gan",
        {"optimiser": "sgd:momentum=0.5", "lr": 0.05, "side": 16, "batch": 7},
        {},
    ),
    "batch norm, uneven": ("dcgan", {**PLAIN, **NORMS, "batch": 7}, {}),
    "batch norm, spectral norm": (
        "dcgan",
        {**PLAIN, **NORMS, "constraint": "spectral-norm"},
        {},
    ),
    "batch norm, unrolled Adam": ("dcgan", {**NORMS, "lr": 1e-3, "unroll": 2}, {}),
    "batch norm, Adam": ("dcgan", {**NORMS, "lr": 1e-3}, {}),
}


class Matching(Game):
    """A generator that matches the batch's kernel mean (MMD², biased), and a mean difference by `average`."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.generator = nn.Linear(4, 64).double()

    def turns(self, clock: Clock) -> Generator[Turn, Mapping[str, Tensor], None]:
        def kernel(x: Tensor, y: Tensor) -> Tensor:
            return torch.exp(-(x[:, None] - y).square().sum(2) / 64).mean()

        def terms(batch: Batch) -> Terms:
            own = self.generator(batch.draw.normal("latent", 4).double())
            x, y = processes.gather(batch.data["real"].flatten(1)), processes.gather(own)
            weight = len(own) / batch.total
            gap = processes.average(own.mean(), weight) - processes.average(batch.data["real"].mean(), weight)
            mmd = kernel(x, x) - 2 * kernel(x, y) + kernel(y, y)
            return Terms({"mmd": mmd, "gap": gap.square(), "slope": slope(own, weight)})

        def slope(own: Tensor, weight: float) -> Tensor:
            """A second derivative through `gather`; what is summed over processes is weighted by each."""
            whole = processes.gather(own)
            (gradient,) = torch.autograd.grad(kernel(whole, whole) * weight, own, create_graph=True)
            return gradient.square().sum(1)

        yield Turn("generator", terms)


class Lopsided(Game):
    """A weight that one process alone uses."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.spare = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(3))

    def turns(self, clock: Clock) -> Generator[Turn, Mapping[str, Tensor], None]:
        def terms(batch: Batch) -> Terms:
            rest = self.spare.sum() if processes.rank() == 0 else 0.0
            return Terms({"sum": self.used.sum() + rest})

        yield Turn("player", terms)


class Double(Latent):
    """Latents in float64, remembered."""

    def __call__(self, draw: Any) -> Tensor:
        drawn = super().__call__(draw).double()
        LATENTS.append(drawn)
        return drawn


LATENTS: list[Tensor] = []


def played(recipe: str, settings: dict[str, Any], how: dict[str, Any]) -> dict[str, Tensor]:
    """Three steps in float64: weights, buffers, what was seen, which samples were shown."""
    made = small.system(recipe, **settings)
    made.game.double()
    made.game.latent = Double(made.latent.size, made.latent.law)  # type: ignore[assignment]
    where, data = small.state(made), small.source(dtype=torch.float64, side=settings.get("side", 8))
    heard: list[float] = []
    turns = settings.get("critic_steps", small.TINY[recipe].get("critic_steps", 1))

    def hook(moment: Moment) -> None:
        heard.extend(moment.seen[name] for name in sorted(moment.seen))

    small.play(made, data, where, 3 * made.batch * turns, (hook,), **how)
    out = {k: v for k, v in small.everything(made, where).items() if isinstance(v, Tensor)}
    return {**out, "heard": torch.tensor(heard, dtype=torch.float64), "shown": torch.tensor(data.shown)}


def matching() -> dict[str, Tensor]:
    game = Matching()
    optimisers = {"generator": torch.optim.SGD(game.parameters(), lr=0.5)}
    train(game, small.source(dtype=torch.float64), optimisers, State(2), 21, batch=7)
    return dict(game.state_dict())


def caught(function: Callable[[], object]) -> dict[str, Tensor]:
    """The message of the error that is raised, as bytes."""
    try:
        function()
    except (RuntimeError, NonFiniteError, ValueError) as error:
        return {"error": torch.tensor(list(f"{type(error).__name__}: {error}".encode()), dtype=torch.uint8)}
    return {}


def lopsided() -> None:
    game = Lopsided()
    train(game, small.source(), {"player": torch.optim.SGD(game.parameters(), lr=1.0)}, State(), 8, batch=8)


def spoilt() -> None:
    """A NaN in the last sample, which is the last process's."""
    made = small.system(**PLAIN)
    data = small.source()

    def bad(cursor: int, ids: Tensor) -> Mapping[str, Tensor]:
        batch = dict(data(cursor, ids))
        batch["real"][(ids + cursor == 15).nonzero().flatten()] = torch.nan
        return batch

    bad.size = 24  # type: ignore[attr-defined]
    small.play(made, bad, small.state(made), 24)


def stopped() -> dict[str, Tensor]:
    """The last process alone is told to stop, after its second step."""
    made = small.system(**PLAIN)
    last = processes.rank() == processes.count() - 1
    where = small.play(
        made, small.source(), small.state(made), 80, (lambda moment: last and moment.clock.step == 2,)
    )
    return {"step": torch.tensor(where.clock.step)}


def saved(path: Path) -> dict[str, Tensor]:
    """Two steps with batch norm and Adam, in float32, saved by the first process."""
    made, data = small.system(), small.source()
    where = small.play(made, data, small.state(made), 16)
    if processes.rank() == 0:
        write(path, made.game, made.optimisers, where)
    return {"shown": torch.tensor(data.shown)}


def resumed(path: Path) -> dict[str, Tensor]:
    """Five more steps, over the end of an epoch."""
    made, data = small.system(seed=8), small.source()
    where = small.state(made)
    restore(read(path), made.game, made.optimisers, where)
    small.play(made, data, where, 56)
    out = {k: v for k, v in small.everything(made, where).items() if isinstance(v, Tensor)}
    return {**out, "shown": torch.tensor(data.shown)}


def main() -> None:
    rank, count, meeting, out, *rest = sys.argv[1:]
    torch.set_num_threads(1)
    if int(count) > 1:
        dist.init_process_group("gloo", f"file://{meeting}", timedelta(seconds=60), int(count), int(rank))
    results: dict[str, dict[str, Tensor]] = {}
    if rest:
        results["resumed"] = resumed(Path(rest[0]))
    else:
        for name, case in {**EXACT, **BATCH_NORM}.items():
            results[name] = played(*case)
            results[name]["latents"] = torch.cat(LATENTS)
            LATENTS.clear()
        results["matching"] = matching()
        results["lopsided"], results["spoilt"] = caught(lopsided), caught(spoilt)
        results["stopped"] = stopped()
        results["saved"] = saved(Path(out).with_suffix(".checkpoint"))
    flat = {f"{case}|{k}": v.contiguous() for case, found in results.items() for k, v in found.items()}
    save_file(flat, out)
    if int(count) > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
