"""Spectral normalisation: the power iteration, the product that bounds a net's slope, and convolutions."""

import math
import statistics
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zerosum.constraints import SpectralNorm
from zerosum.data.toys import ring
from zerosum.draws import Latent, mix
from zerosum.lab.experiment import Experiment, Result, Settings
from zerosum.lab.play import PointGame
from zerosum.nets.mlp import MLPCritic, MLPGenerator
from zerosum.recipes.duel import Rules

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "SPECTRAL_NORM",
    "bound",
    "convolution_matrix",
    "estimates",
    "iterated",
    "layer_norms",
    "ratio",
    "steepest",
    "with_spectrum",
]

GAPS = (0.5, 0.9, 0.99)  # σ₂/σ₁
SIDE = 12  # pixels of the images that the convolutions take
BOX, ONE, RANDOM, STRIDED = "all weights equal", "one weight", "random, 4 → 4 channels", "random, stride 2"


def with_spectrum(spectrum: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """A square matrix W = U diag(spectrum) Vᵀ with random U, V, and its U; float64, [n, n] each."""
    size = len(spectrum)
    left, right = (
        torch.linalg.qr(torch.randn(size, size, dtype=torch.float64, generator=random)).Q for _ in range(2)
    )
    return left * spectrum @ right.T, left


def iterated(weight: Tensor, start: Tensor, steps: int) -> list[float]:
    """σ̂ after 1 … `steps` power iterations of the library's spectral norm from u = `start`."""
    part = SpectralNorm(weight, warm_up=0)
    part.u.copy_(start)
    found = []
    for _ in range(steps):
        part.advance(weight)
        found.append(float(part.u @ weight @ part.v))
    return found


def estimates(spectrum: Tensor, start: Tensor, steps: int) -> list[float]:
    """The same in closed form: σ̂ₜ² = Σ aᵢ²σᵢ⁴ᵗ / Σ aᵢ²σᵢ⁴ᵗ⁻², a the parts of the start along U [n].

    So 1 − σ̂/σ₁ falls by (σ₂/σ₁)⁴ an iteration.

    >>> [round(s, 3) for s in estimates(torch.tensor([1.0, 0.5]), torch.tensor([1.0, 1.0]), 3)]
    [0.922, 0.994, 1.0]
    """
    logs = 2 * start.abs().log() + 2 * spectrum.log() * torch.arange(1, 2 * steps + 1)[:, None]
    sums = torch.logsumexp(logs, 1)  # of a²σ²ᵏ, k = 1 … 2·steps
    return ((sums[1::2] - sums[::2]) / 2).exp().tolist()


def layer_norms(critic: nn.Module) -> list[float]:
    """σ of each linear layer's weight as it is used, that is after any spectral norm, by SVD.

    Where the layers lie behind one another and what is between is 1-Lipschitz, as LeakyReLU is, their
    product bounds the critic's slope.
    """
    layers = [layer for layer in critic.modules() if isinstance(layer, nn.Linear)]
    return [float(torch.linalg.matrix_norm(layer.weight.detach(), 2)) for layer in layers]


def steepest(critic: nn.Module, points: Tensor) -> float:
    """The largest ‖∇f‖ at points [N, n]: from below, the Lipschitz constant on a region they fill.

    >>> steepest(nn.Linear(2, 1).requires_grad_(False), torch.zeros(3, 2)) > 0
    True
    """
    points = points.detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(points).sum(), points)
    return float(slope.norm(dim=1).max())


def convolution_matrix(weight: Tensor, side: int, stride: int = 1) -> Tensor:
    """The matrix [C'·H'·W', C·side²] of a convolution [C', C, k, k] padded by k//2 with zeros."""
    channels, kernel = weight.shape[1:3]
    basis = torch.eye(channels * side * side, dtype=weight.dtype).unflatten(1, (channels, side, side))
    return F.conv2d(basis, weight, stride=stride, padding=kernel // 2).flatten(1).T


def bound(kernel: int, stride: int = 1) -> int:
    """How many times σ of the reshaped weight a convolution's own norm can be: ⌈k/s⌉, in two dimensions.

    A pixel of the input is in at most ⌈k/s⌉² patches, so that Σ‖patch‖² ≤ ⌈k/s⌉²‖x‖².

    >>> bound(3), bound(4, stride=2)
    (3, 2)
    """
    return math.ceil(kernel / stride)


def ratio(weight: Tensor, side: int, stride: int = 1) -> float:
    """‖convolution‖ / σ(weight as [C', C·k²]), by SVD of both.

    >>> round(ratio(torch.ones(1, 1, 3, 3), 12), 4) == round((1 + 2 * math.cos(math.pi / 13)) ** 2 / 3, 4)
    True
    """
    own = torch.linalg.matrix_norm(convolution_matrix(weight, side, stride), 2)
    return float(own / torch.linalg.matrix_norm(weight.flatten(1), 2))


def _ratios(draws: int, random: torch.Generator) -> dict[str, dict[int, list[float]]]:
    """The ratios of kernels of a kind, by their width."""
    found: dict[str, dict[int, list[float]]] = {BOX: {}, ONE: {}, RANDOM: {}, STRIDED: {}}
    for kernel in (1, 2, 3, 4, 5):
        one = torch.zeros(1, 1, kernel, kernel)
        one[0, 0, kernel // 2, kernel // 2] = 1
        weights = torch.randn(draws, 4, 4, kernel, kernel, generator=random)
        found[BOX][kernel] = [ratio(torch.ones(1, 1, kernel, kernel), SIDE)]
        found[ONE][kernel] = [ratio(one, SIDE)]
        found[RANDOM][kernel] = [ratio(weight, SIDE) for weight in weights]
        if kernel > 1:
            found[STRIDED][kernel] = [ratio(weight, SIDE, stride=2) for weight in weights]
    return found


def _train(constraint: str, steps: int, settings: Settings) -> dict[str, list[float]]:
    """A hinge GAN on the ring: the bound, the slope found, and σ̂'s error, on the way."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(settings.seed, "spectral", constraint))
        generator = MLPGenerator((2,), latent=8, hidden=(64, 64), bound=None)
        critic = MLPCritic((2,), hidden=(64, 64), pieces=1, bound=None)
    rules = Rules(
        objective="hinge",
        constraint=constraint,
        lr=2e-4,
        optimiser="adam:beta1=0,beta2=0.9",
        batch=64,
        images=1,
        average=0.0,
    )
    data = torch.from_numpy(ring(20_000, settings.seed, std=0.02))
    game = PointGame(data, generator, critic, Latent(8), rules, settings.seed)
    line = torch.linspace(-1.5, 1.5, 41)
    points = torch.cartesian_prod(line, line)
    found: dict[str, list[float]] = {"step": [], "product": [], "slope": [], "error": []}

    def watch(step: int) -> None:
        if step % (steps // 50) == 0 or step == 1:
            norms = layer_norms(critic)
            found["step"].append(step)
            found["product"].append(math.prod(norms))
            found["slope"].append(steepest(critic, points))
            found["error"].append(max(abs(1 - 1 / norm) for norm in norms))

    game.play(steps, hook=watch)
    return found


def _run(settings: Settings) -> Result:
    steps = 200 if settings.quick else 1500
    random = settings.generator("spectral")
    start = torch.randn(16, dtype=torch.float64, generator=random)
    start /= start.norm()
    powers: dict[float, tuple[list[float], list[float]]] = {}
    for gap in GAPS:
        spectrum = torch.cat([torch.ones(1), torch.linspace(gap, 0.05, 15)]).double()
        weight, left = with_spectrum(spectrum, random)
        powers[gap] = iterated(weight, left @ start, 50), estimates(spectrum, start, 50)
    trained = {}
    for share, (name, constraint) in enumerate({"plain": "none", "spectral norm": "spectral-norm"}.items()):
        trained[name] = _train(constraint, steps, settings)
        settings.advance(0.4 * (share + 1))
    ratios = _ratios(2 if settings.quick else 6, settings.generator("kernels"))
    numbers: dict[str, Any] = {
        "power iteration: error of sigma after 50 iterations": {
            f"gap {gap:g}": abs(1 - found[-1]) for gap, (found, _) in powers.items()
        },
        "largest difference from the closed form": max(
            abs(a - b) for found, closed in powers.values() for a, b in zip(found, closed, strict=True)
        ),
        "training": trained,
        "norm of the convolution over sigma, by kernel": {
            kind: {str(kernel): values for kernel, values in by_kernel.items()}
            for kind, by_kernel in ratios.items()
        },
    }

    def draw(figure: "Figure") -> None:
        _draw(figure, powers, trained, ratios)

    return Result(numbers, draw, _says(powers, trained, ratios))


def _says(
    powers: dict[float, tuple[list[float], list[float]]],
    trained: dict[str, dict[str, list[float]]],
    ratios: dict[str, dict[int, list[float]]],
) -> str:
    plain, normed = trained["plain"], trained["spectral norm"]
    errors = [abs(1 - found[-1]) for found, _ in powers.values()]
    return (
        "The slope of a linear map is its largest singular value σ, and slopes of layers multiply; so a net "
        "whose every weight is divided by its σ has a slope of at most 1. First, the power iteration that "
        "stands in for the SVD: its error falls by (σ₂/σ₁)⁴ each time, dots are the library's, lines the "
        f"closed form. After 50 iterations it is {errors[0]:.0e}, {errors[1]:.0e} and {errors[2]:.0e} for "
        "σ₂/σ₁ = 0.5, 0.9 and 0.99. Second, one iteration for each update of a critic: its weights move "
        f"slowly, so σ̂ follows them, {100 * statistics.median(normed['error']):.1f} % off in the median over "
        f"{normed['step'][-1]} steps; it lags, by up to {100 * max(normed['error']):.1f} %, in the "
        "square layer, whose leading singular values lie close and change places. Third, the slope found on "
        f"a fine grid against the product of the layers' σ: {plain['slope'][-1]:.3g} in the plain critic, "
        "under a bound of "
        f"{plain['product'][-1]:.3g}: the product is a bound, and a loose one. With spectral norm the bound "
        f"is {normed['product'][-1]:.3f} (over 1 by σ̂'s error) and the slope {normed['slope'][-1]:.3f}. "
        "Last, what is normalised in a convolution is its weight reshaped to a matrix, which is not the "
        "map's: the convolution's own norm is 1 to k times σ, k the kernel's width (⌈k/s⌉ with a stride of "
        f"s). Equal weights nearly reach it, {ratios[BOX][3][0]:.2f} at k = 3 on {SIDE}×{SIDE} pixels; "
        f"random ones stand at {ratios[RANDOM][3][0]:.2f}. So spectral norm alone does not make a "
        "convolutional critic 1-Lipschitz: each layer may add such a factor."
    )


def _draw(
    figure: "Figure",
    powers: dict[float, tuple[list[float], list[float]]],
    trained: dict[str, dict[str, list[float]]],
    ratios: dict[str, dict[int, list[float]]],
) -> None:
    from zerosum.lab.style import CRITIC, CYCLE, FAKE, GREY, INK

    (first, second), (third, last) = figure.subplots(2, 2)
    for colour, (gap, (found, closed)) in zip(CYCLE, powers.items(), strict=False):
        steps = range(1, len(found) + 1)
        first.semilogy(steps, [max(1 - s, 1e-17) for s in closed], color=colour)
        first.semilogy(steps, [max(1 - s, 1e-17) for s in found], "o", color=colour, label=f"{gap:g}")
    first.set(title="1 − σ̂/σ by power iterations", xlabel="iterations", ylim=(1e-12, 2))
    first.legend(title="σ₂/σ₁", loc="lower center")
    normed = trained["spectral norm"]
    second.plot(normed["step"], [100 * error for error in normed["error"]], color=CRITIC)
    second.set(title="One iteration an update: error of σ̂, %", xlabel="step", ylim=(0, None))
    for (name, seen), colour in zip(trained.items(), (FAKE, CRITIC), strict=True):
        third.semilogy(seen["step"], seen["product"], ":", color=colour, label=f"{name}: product of σ")
        third.semilogy(seen["step"], seen["slope"], color=colour, label=f"{name}: slope found")
    third.set(title="The critic's slope and its bound", xlabel="step", ylim=(5e-3, 60))
    third.legend(loc="lower right", ncols=2)
    kernels = [1, 2, 3, 4, 5]
    last.plot(kernels, [bound(k) for k in kernels], color=GREY, label="bound: k")
    last.step(
        kernels, [bound(k, 2) for k in kernels], where="mid", color=GREY, linestyle=":", label="bound: ⌈k/2⌉"
    )
    marks = ("s", "D", "o", "x")
    for (kind, by_kernel), mark, colour in zip(ratios.items(), marks, (INK, GREY, *CYCLE), strict=False):
        places = [k for k, values in by_kernel.items() for _ in values]
        values = [value for values in by_kernel.values() for value in values]
        last.plot(places, values, mark, color=colour, label=kind)
    last.set(title="A convolution's norm over σ of its weight", xlabel="kernel width k", ylim=(0.8, 5.2))
    last.set_xticks(kernels)
    last.legend(loc="upper left")


SPECTRAL_NORM = Experiment(
    name="spectral-norm",
    number=13,
    title="Spectral normalisation: power iteration, the product bound, convolutions",
    lectures=("lecture 2, lines 247–281",),
    slip=(
        "The paper trained with the non-saturating and the hinge loss, not as a Wasserstein GAN (lecture 2, "
        "line 270). And the spectral norm of a convolution's reshaped weight is not that of the convolution."
    ),
    run=_run,
    figsize=(10.5, 7.4),
)
