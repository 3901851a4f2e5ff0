"""Who takes part in a comparison of compressed sensing: a generator's estimates, and its rivals'.

All are given images in [0, 1] and measurements with their noise, and give images back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from zerosum.draws import Draws, Latent, mix
from zerosum.inverse.bases import BASES
from zerosum.inverse.beyond import choose_by_held_out, gaussian_residual, sparse_residual, whitened
from zerosum.inverse.descent import LBFGS, LevenbergMarquardt, Method
from zerosum.inverse.law import Law, fit_law
from zerosum.inverse.linear import WHOLE, Spread, fit_spread, lmmse, spread_along
from zerosum.inverse.misfit import Decode, Misfit, Prior, Problem, Whole
from zerosum.inverse.operators import Sized
from zerosum.inverse.posterior import posterior_mean
from zerosum.inverse.search import Found, Heard, nearest_of_many, random_starts
from zerosum.inverse.sparse import fista, held_out_penalty, lasso
from zerosum.reconstruction import GeneratorPrior
from zerosum.sensing import Estimator, Scene

__all__ = ["OURS", "RIVALS", "Learned", "Ours", "learn", "rivals", "unit"]

FEW = 32  # latents over whose posterior a mean is taken, where the Jacobian of all restarts is cheap
AT_ONCE, TAUGHT_AT_ONCE = 16, 128  # images
SEARCHED = 384  # training images whose latents are searched, where there is no encoder
PUPILS = 64
OURS = ("generator", "generator + sparse", "generator + gaussian", "generator & linear")
RIVALS = ("lasso-pixel", "lasso-dct", "lasso-wavelet", "lmmse")


def unit(decode: Decode) -> Decode:
    """A decoder's images in [0, 1].

    >>> unit(lambda z: z)(torch.tensor([-1.0, 1.0]))
    tensor([0., 1.])
    """
    return lambda z: (decode(z) + 1) / 2


def rivals(spread: Spread, names: tuple[str, ...] = RIVALS) -> dict[str, Estimator]:
    """The classical estimates by name: Lasso in three bases, and the best linear one.

    `spread`, of training images in [0, 1], gives the mean from which sparse coefficients are counted, and the
    covariance. Penalties are chosen on held-out measurements. Names are those of `RIVALS`.
    """
    channels, height, width = spread.shape
    mean = spread.mean.float()

    def sparse(scene: Scene, kind: str) -> Tensor:
        basis = BASES[kind]((channels, height, width))
        if spread.mean.numel() <= WHOLE:
            return lasso(scene.operator, scene.y, basis, mean=mean, limits=(0, 1), seed=scene.seed).image
        # The same minimum, all images at once: coordinate descent takes hours where images are this large.
        penalty = held_out_penalty(scene.operator, scene.y, basis, mean=mean, seed=scene.seed)
        return fista(scene.operator, scene.y, basis, penalty, mean=mean, limits=(0, 1)).image

    def linear(scene: Scene) -> Tensor:
        return lmmse(scene.operator, scene.y, spread, scene.deviation, limits=(0, 1)).image.to(scene.y)

    known: dict[str, Estimator] = {f"lasso-{kind}": partial(sparse, kind=kind) for kind in BASES}
    known["lmmse"] = linear
    return {name: known[name] for name in names}


@dataclass(frozen=True)
class Learned:
    """What training images tell of x = G(m + L u) + e: the `law` of latents m + L u, that of residuals e.

    Besides `linear`, the images' own spread, and `pupils` [P, C, H, W], on whom shares may be learned.
    """

    law: Law
    residual: Spread
    linear: Spread
    pupils: Tensor


def learn(
    source: GeneratorPrior, train: Tensor, linear: Spread, seed: int = 0, hear: Heard | None = None
) -> Learned:
    """The law of the latents that draw training images [N, C, H, W] in [0, 1], and of what they leave.

    By the encoder of all of them, where there is one; else a search looks for the nearest latents of 384.
    Residuals too few for a covariance of their own, of twice as many as an image has numbers, have one that
    is diagonal along the principal directions of `linear`, the spread of the images themselves.
    """
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    pupils = train[order[:PUPILS]]
    decode = unit(source.decoders[0])
    if source.encode is not None:
        parts = [(part, source.encode(2 * part - 1)) for part in train.split(TAUGHT_AT_ONCE)]
        latents = torch.cat([z for _, z in parts])
        residuals = torch.cat([part - decode(z) for part, z in parts])
    else:
        some = train[order[PUPILS:][:SEARCHED]] if len(order) > 2 * PUPILS else train
        few = source.latent.size <= FEW
        method: Method = LevenbergMarquardt(steps=25) if few else LBFGS(steps=60)
        found = source.search(
            Misfit(Whole(), some),
            restarts=1,
            seed=seed,
            method=method,
            decoded=unit,
            hear=hear,
            at_once=TAUGHT_AT_ONCE,
        )
        latents, residuals = found.latent, some - found.image
    whole = len(residuals) > 2 * linear.mean.numel()
    residual = fit_spread(residuals) if whole else spread_along(residuals, linear.directions)
    return Learned(fit_law(latents), residual, linear, pupils)


@dataclass
class Ours:
    """The generator's estimates of a scene, each searched once; `estimators` gives them by name.

    `norm` is the weight of ‖z‖² for the generator alone, .1 for MNIST and .001 for faces as published.
    `deviations` has, for each number of measurements, the standard deviation of each pixel [B, C, H, W] with
    the Gaussian residual: of what else the latents might be, and of the residual. `shares` has what share
    the generator was given beside the best linear estimate.
    """

    source: GeneratorPrior
    learned: Learned
    restarts: int = 10
    norm: float = 0.1
    method: Method | None = None
    basis: str = "dct"
    hear: Heard | None = None
    deviations: dict[int, Tensor] = field(default_factory=dict)
    shares: dict[int, float] = field(default_factory=dict)
    _found: dict[int, tuple[Sized, Found]] = field(default_factory=dict)
    _means: dict[int, tuple[Sized, Tensor]] = field(default_factory=dict)

    def _alone(self, scene: Scene, operator: Sized, y: Tensor) -> Tensor:
        """The image that fits best; searched once an operator."""
        if id(operator) not in self._found:
            within = None if self.source.latent.law == "normal" else 1.0
            prior = Prior(self.norm, within=within)
            found = self._search(Misfit(operator, y), unit, prior, scene.seed, self.method)
            self._found[id(operator)] = operator, found  # the operator is kept, so that its id stays its own
        return self._found[id(operator)][1].image

    def _search(
        self,
        misfit: Misfit,
        decoded: Callable[[Decode], Decode],
        prior: Prior,
        seed: int,
        method: Method | None,
    ) -> Found:
        """From random latents, and as many that are the nearest of 1,000 where there is one class."""
        source, near = self.source, self.restarts // 2 if len(self.source.decoders) == 1 else 0
        law = source.latent if decoded is unit else Latent(source.latent.size)
        start = random_starts(law, self.restarts - near, len(misfit.measured), seed)
        if near:
            best = nearest_of_many(decoded(source.decoders[0]), misfit, law, near, seed=seed)
            start = torch.cat([start, best])
        return source.search(
            misfit, start=start, seed=seed, method=method, prior=prior, decoded=decoded, hear=self.hear
        )

    def _sparse(self, scene: Scene, operator: Sized, y: Tensor) -> Tensor:
        drawn, basis = self._alone(scene, operator, y), BASES[self.basis](operator.shape)
        return sparse_residual(operator, y, drawn, basis, seed=scene.seed)

    def _with_sparse(self, scene: Scene) -> Tensor:
        """With the sparse residual, for each image that held-out measurements say gains by it."""
        ways = {"alone": partial(self._alone, scene), "sparse": partial(self._sparse, scene)}
        choice = choose_by_held_out(scene.operator, scene.y, ways, seed=scene.seed)
        images = torch.stack([way(scene.operator, scene.y) for way in ways.values()])
        return images[choice.errors.argmin(0), torch.arange(images.shape[1])]

    def _gaussian(self, scene: Scene) -> Tensor:
        image, self.deviations[scene.operator.m] = self._expected(scene)
        self._means[id(scene.operator)] = scene.operator, image
        return image

    def _expected(self, scene: Scene) -> tuple[Tensor, Tensor]:
        """E[x | y] and each pixel's deviation, over latents that are possible and over residuals."""
        residual, method = self.learned.residual, self.method
        misfit = whitened(scene.operator, scene.y, residual, scene.deviation)
        if isinstance(method, LevenbergMarquardt | LBFGS):
            method = replace(method, race=0)  # a mean is taken over where all restarts end
        found = self._search(misfit, self._decoded, Prior(norm=1.0), scene.seed, method)
        parts = [slice(first, first + AT_ONCE) for first in range(0, len(found), AT_ONCE)]
        means = [self._mean(misfit.of(some), found, some, scene.seed) for some in parts]
        drawn, spread = (torch.cat(part) for part in zip(*means, strict=True))
        whole = gaussian_residual(scene.operator, scene.y, drawn, residual, scene.deviation)
        return whole.image, (spread.square() + whole.variance).sqrt()

    def _decoded(self, decode: Decode) -> Decode:
        return self.learned.law.decode(unit(decode))

    def _mean(self, misfit: Misfit, found: Found, some: slice, seed: int) -> tuple[Tensor, Tensor]:
        """Of few latents the mean over their posterior; of many, too many to sample, that over restarts."""
        if len(self.source.decoders) > 1:
            return found.image[some], torch.zeros_like(found.image[some])
        problem = Problem(self._decoded(self.source.decoders[0]), misfit, Prior(norm=1.0))
        if self.source.latent.size <= FEW:
            mean = posterior_mean(problem, found.latents[:, some], seed=seed)
            return mean.image, mean.deviation
        images = problem.images(found.latents[:, some])
        return images.mean(0), images.std(0, unbiased=False)

    def _with_linear(self, scene: Scene) -> Tensor:
        """Beside the best linear estimate, by the share that suits training images (Wolpert 1992, stacking).

        x̂ = x̂_linear + w (x̂_gaussian − x̂_linear) with the w of least squares over the pupils, who are
        measured by the same A.
        """
        operator, pupils = scene.operator, self.learned.pupils
        if id(operator) not in self._means:
            self._gaussian(scene)
        noise = Draws(mix(scene.seed, "pupils", operator.m), stop=len(pupils)).normal("noise", operator.m)
        taught = scene._replace(y=operator.forward(pupils) + scene.deviation * noise)
        base = self._linear(taught)
        apart = self._expected(taught)[0] - base
        share = float(((pupils - base) * apart).sum() / apart.square().sum().clamp_min(1e-12))
        self.shares[operator.m] = share = min(max(share, 0.0), 1.0)
        line = self._linear(scene)
        return line + share * (self._means[id(operator)][1] - line)

    def _linear(self, scene: Scene) -> Tensor:
        found = lmmse(scene.operator, scene.y, self.learned.linear, scene.deviation, limits=None)
        return found.image.to(scene.y)

    def estimators(self) -> Mapping[str, Estimator]:
        """By their names in `OURS`: the generator alone, with a sparse and with a Gaussian residual, and the
        last beside the best linear estimate."""

        def alone(scene: Scene) -> Tensor:
            return self._alone(scene, scene.operator, scene.y)

        ways = (alone, self._with_sparse, self._gaussian, self._with_linear)
        return dict(zip(OURS, ways, strict=True))
