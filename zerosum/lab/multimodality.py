"""Two answers that are both right: the mean-squared error gives their mean, a GAN one of them."""

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zerosum.draws import mix
from zerosum.lab.densities import log_mixture, log_normal
from zerosum.lab.experiment import Experiment, Result, Settings
from zerosum.lab.play import trained
from zerosum.nets.mlp import MLPGenerator

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["MULTIMODALITY", "bars", "error_of_constant", "error_of_sampler", "nearest", "regress"]

STD = 0.05  # of the numbers about ±1
SIDE = 16  # pixels of a frame
LEFT = "share of the GAN's frames that turn left"
TURN, JITTER = 40.0, 6.0  # degrees that a bar has turned to either side, and their standard deviation


def error_of_constant(c: float, std: float = STD) -> float:
    """E(x−c)² = c² + Var x for x = ±1, each with probability ½, and noise: least at the mean, 0.

    >>> error_of_constant(0.0, 0.0), error_of_constant(1.0, 0.0)
    (1.0, 2.0)
    """
    return 1 + std**2 + c**2


def error_of_sampler(std: float = STD) -> float:
    """E(x−x̂)² = 2 Var x for an x̂ that has the law of x and knows no more: twice the least there is.

    >>> error_of_sampler(0.0)
    2.0
    """
    return 2 * (1 + std**2)


def bars(degrees: Tensor, side: int = SIDE) -> Tensor:
    """Frames of a bright bar through the centre, turned clockwise from upright by so much [N].

    [N, side²] in [−1, 1].

    >>> bars(torch.tensor([0.0]), 3).view(3, 3)[:, 1].min() > 0.9
    tensor(True)
    """
    line = torch.linspace(-1, 1, side)
    down, across = torch.meshgrid(line, line, indexing="ij")
    turn = torch.deg2rad(degrees)[:, None, None]
    off = across * turn.cos() + down * turn.sin()
    return (2 * torch.exp(-0.5 * (off / 0.16).square()) - 1).flatten(1)


def signs_of(count: int, random: torch.Generator) -> Tensor:
    """±1 with a little noise, [count, 1]."""
    signs = 2.0 * torch.randint(2, (count, 1), generator=random) - 1
    return signs + STD * torch.randn(count, 1, generator=random)


def frames_of(count: int, random: torch.Generator) -> Tensor:
    """What may follow an upright bar: it has turned left or right, [count, SIDE²]."""
    return bars(signs_of(count, random).sign()[:, 0] * TURN + JITTER * torch.randn(count, generator=random))


def regress(generator: nn.Module, latent: int, data: Tensor, steps: int, random: torch.Generator) -> None:
    """Adam on E‖G(z) − x‖², z and x independent; the rate falls to 0 as a cosine."""
    optimiser = torch.optim.Adam(generator.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        x = data[torch.randint(len(data), (64,), generator=random)]
        loss = (generator(torch.randn(64, latent, generator=random)) - x).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


def answerer(size: int, latent: int, hidden: tuple[int, ...], seed: int) -> nn.Module:
    """A generator [B, latent] → [B, size] in [−1, 1] for frames, of any size for single numbers."""
    shape = (1, 1, size) if size > 1 else (size,)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(seed, "answerer", size))
        return nn.Sequential(MLPGenerator(shape, latent=latent, hidden=hidden, bound=None), nn.Flatten())


def nearest(samples: Tensor, real: Tensor) -> Tensor:
    """The squared distance to the nearest real sample, a pixel, [N]."""
    return torch.cdist(samples, real).amin(1).square() / real.shape[1]


def _frames(settings: Settings) -> dict[str, Tensor]:
    """Frames [N, SIDE²]: two samples of the truth, and what either way of training answers."""
    random = settings.generator("frames")
    truth, again = frames_of(2000, random), frames_of(500, random)
    steps = 400 if settings.quick else 1500
    wide = (128, 128)
    regressor, generator = (answerer(SIDE**2, 8, wide, settings.seed) for _ in range(2))
    regress(regressor, 8, truth, steps // 2, random)
    settings.advance(0.4)
    with torch.no_grad():
        squared = regressor(torch.randn(500, 8, generator=random))
    game = trained(truth, generator, 8, wide, steps, settings.seed, weight=3.0, lr=2e-3)
    return {"truth": truth, "again": again, "mean-squared error": squared, "adversarial": game.sample(500)}


def _run(settings: Settings) -> Result:
    random = settings.generator("signs")
    data = signs_of(20_000, random)
    small = (32, 32)
    regressor, generator = (answerer(1, 2, small, settings.seed) for _ in range(2))
    regress(regressor, 2, data, 400, random)
    with torch.no_grad():
        squared = regressor(torch.randn(2500, 2, generator=random))[:, 0]
    steps = 400 if settings.quick else 1200
    game = trained(data, generator, 2, small, steps, settings.seed, weight=0.1, lr=3e-3)
    adversarial = game.sample(2500)[:, 0]
    settings.advance(0.3)
    fresh = signs_of(2500, random)[:, 0]
    frames = _frames(settings)
    truth, again = frames["truth"], frames["again"]
    least = float((again - truth.mean(0)).square().mean())
    numbers: dict[str, Any] = {
        "targets of +1 and -1": {
            name: {
                "mean |x|": float(answer.abs().mean()),
                "share above 0": float((answer > 0).float().mean()),
                "share within 1/2 of 0": float((answer.abs() < 0.5).float().mean()),
                "mean-squared error": float((answer - fresh).square().mean()),
                "the same in closed form": expected,
            }
            for name, answer, expected in (
                ("mean-squared error", squared, error_of_constant(0.0)),
                ("adversarial", adversarial, error_of_sampler()),
            )
        },
        "frames, a pixel": {
            "least mean-squared error": least,
            **{
                name: {
                    "mean-squared error": float((frames[name] - again).square().mean()),
                    "mean square to the nearest real frame": float(nearest(frames[name], truth).mean()),
                }
                for name in ("mean-squared error", "adversarial")
            },
        },
        LEFT: float((_leaning(frames["adversarial"]) > 0).float().mean()),
        "dB of PSNR between the two, for an honest sampler": 10 * math.log10(2),
    }

    def draw(figure: "Figure") -> None:
        _draw(figure, fresh, squared, adversarial, frames, numbers["frames, a pixel"])

    return Result(numbers, draw, _says(numbers))


def _leaning(frames: Tensor) -> Tensor:
    """Above 0 where a frame is nearer to the bar turned to the left, [N]."""
    right, left = torch.cdist(frames, bars(torch.tensor([TURN, -TURN]))).unbind(1)
    return right - left


def _says(numbers: dict[str, Any]) -> str:
    squared, adversarial = numbers["targets of +1 and -1"].values()
    frames = numbers["frames, a pixel"]
    blurred, sampled = frames["mean-squared error"], frames["adversarial"]
    error, near = "mean-squared error", "mean square to the nearest real frame"
    return (
        "Where several answers are right, a loss that compares with the one that happened asks for their "
        f"mean. Above: the target is +1 or −1, with noise of {STD:g}. E(x−c)² is least at c = 0, where no "
        f"target ever lies; a net trained with it answers {squared['mean |x|']:.3f} in size, whatever its "
        f"latent. A GAN of the same net answers with |x| = {adversarial['mean |x|']:.3f} on average, "
        f"{100 * adversarial['share above 0']:.0f} % of the time above 0; "
        f"{100 * adversarial['share within 1/2 of 0']:.1f} % lie in the gap, which a continuous G must cross "
        "somewhere. Below, the slide's picture in small: an upright bar has turned left or right. The "
        "mean-squared error shows both at once, faintly; the GAN shows one or the other "
        f"({100 * numbers[LEFT]:.0f} % left). By its own measure the blur is better, "
        f"{blurred[error]:.3f} against {sampled[error]:.3f} a pixel, and this must be so: an honest sample "
        "and the truth are two independent draws, which are twice the variance apart, 3.01 dB of PSNR below "
        "the mean (the slides' SRGAN stands 2.38 dB below SRResNet). But the GAN's frames lie "
        f"{sampled[near]:.3f} from the nearest real one and the mean {blurred[near]:.3f}."
    )


def _draw(
    figure: "Figure",
    truth: Tensor,
    squared: Tensor,
    adversarial: Tensor,
    frames: dict[str, Tensor],
    found: Any,
) -> None:
    from zerosum.lab.style import CRITIC, FAKE, INK, REAL

    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.45, 1))[:, 0]
    left, middle, right = top.subplots(1, 3)
    c = torch.linspace(-1.6, 1.6, 321, dtype=torch.float64)
    density = log_mixture([log_normal(mean, STD, c) for mean in (-1.0, 1.0)]).exp()
    left.fill_between(c, density / density.max(), color=REAL, alpha=0.3, linewidth=0, label="target (scaled)")
    left.plot(c, [error_of_constant(float(value)) for value in c], color=INK, label="E(x−c)²")
    left.plot(0, error_of_constant(0.0), "o", color=FAKE)
    left.set(title="The best answer by squared error", xlabel="c", ylim=(0, 3.6))
    left.legend(loc="upper center")
    edges = torch.linspace(-1.6, 1.6, 81).tolist()
    for answer, colour, label in (
        (truth, REAL, "target"),
        (squared, FAKE, "mean-squared error"),
        (adversarial, CRITIC, "adversarial"),
    ):
        middle.hist(answer, edges, color=colour, alpha=0.55, label=label)
    middle.set(title="What trained nets answer", xlabel="x", ylabel="of 2,500", yscale="log", ylim=(0.8, 3e4))
    middle.legend(loc="upper center", ncols=2)
    kinds = {"mean-squared error": FAKE, "adversarial": CRITIC}
    for place, (name, colour) in enumerate(kinds.items()):
        heights = [found[name]["mean-squared error"], found[name]["mean square to the nearest real frame"]]
        bars_drawn = right.bar([place - 0.2, 3 + place - 0.2], heights, color=colour, alpha=0.8, label=name)
        right.bar_label(bars_drawn, fmt="%.3f", fontsize=8.5)
    right.axhline(found["least mean-squared error"], color=INK, linewidth=0.8, linestyle=":")
    right.set(
        title="Frames: squared distance a pixel", ylim=(0, 1.35 * found["adversarial"]["mean-squared error"])
    )
    right.set_xticks([0.3, 3.3], ["to what happened", "to the nearest real"])
    right.legend(loc="upper right")
    strips = bottom.subplots(1, 3)
    for axes, name, title in zip(
        strips,
        ("again", "mean-squared error", "adversarial"),
        ("Ground truth", "MSE", "Adversarial"),
        strict=True,
    ):
        _tiles(axes, frames[name][:18], title)


def _tiles(axes: "Axes", frames: Tensor, title: str) -> None:
    """Eighteen frames in three rows."""
    padded = torch.ones(18, SIDE + 2, SIDE + 2)
    padded[:, 1:-1, 1:-1] = frames.view(18, SIDE, SIDE)
    whole = padded.view(3, 6, SIDE + 2, SIDE + 2).permute(0, 2, 1, 3).reshape(3 * (SIDE + 2), 6 * (SIDE + 2))
    axes.imshow(whole.numpy(), cmap="gray", vmin=-1, vmax=1, interpolation="none")
    axes.set(title=title, xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set(visible=False)


MULTIMODALITY = Experiment(
    name="multimodality",
    number=19,
    title="Several right answers: mean-squared error against adversarial",
    lectures=("lecture 4, lines 27–43", "lecture 4, lines 45–62"),
    slip="",
    run=_run,
    figsize=(10.5, 5.6),
)
