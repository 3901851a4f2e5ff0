"""Who takes part in a comparison of compressed sensing: a generator's estimates, and its rivals'.

All are given images in [0, 1] and measurements with their noise, and give images back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from zerosum.inverse.bases import BASES
from zerosum.inverse.beyond import choose_by_held_out, gaussian_residual, sparse_residual, whitened
from zerosum.inverse.descent import LBFGS, LevenbergMarquardt, Method
from zerosum.inverse.linear import WHOLE, Spread, fit_spread, lmmse
from zerosum.inverse.misfit import Decode, Misfit, Prior, Problem, Whole
from zerosum.inverse.operators import Sized
from zerosum.inverse.posterior import posterior_mean
from zerosum.inverse.search import Found, Heard, nearest_of_many, random_starts
from zerosum.inverse.sparse import fista, held_out_penalty, lasso
from zerosum.reconstruction import GeneratorPrior
from zerosum.sensing import Estimator, Scene

__all__ = ["OURS", "RIVALS", "Ours", "rivals", "training_residuals", "unit"]

FEW = 32  # latents over which a mean is taken, where the Jacobian of all restarts is cheap
AT_ONCE = 16
OURS = ("generator", "generator + sparse", "generator + gaussian")
RIVALS = ("lasso-pixel", "lasso-dct", "lasso-wavelet", "lmmse")


def unit(decode: Decode) -> Decode:
    """A decoder's images in [0, 1].

    >>> unit(lambda z: z)(torch.tensor([-1.0, 1.0]))
    tensor([0., 1.])
    """
    return lambda z: (decode(z) + 1) / 2


def rivals(train: Tensor, names: tuple[str, ...] = RIVALS) -> dict[str, Estimator]:
    """The classical estimates by name: Lasso in three bases, and the best linear one.

    `train` [N, C, H, W] in [0, 1] gives the mean from which sparse coefficients are counted, and the
    covariance. Penalties are chosen on held-out measurements. Raises ValueError for unknown names.
    """
    channels, height, width = train.shape[1:]
    spread = fit_spread(train)
    mean = spread.mean.to(train.dtype)

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
    for name in names:
        if name not in known:
            raise ValueError(f"--baselines {name}: choose all, none, or of {', '.join(RIVALS)}")
    return {name: known[name] for name in names}


def training_residuals(source: GeneratorPrior, train: Tensor, hear: Heard | None = None) -> Tensor:
    """What the generator leaves of training images, x − G(z) with the nearest z a search finds.

    The search starts at the encoder's latents where there is an encoder.
    """
    start = None if source.encode is None else source.encode(2 * train - 1)[None]
    few = source.latent.size <= 32
    method: Method = LevenbergMarquardt(steps=8) if few else LBFGS(steps=60)
    found = source.search(
        Misfit(Whole(), train), restarts=1, start=start, method=method, decoded=unit, hear=hear, at_once=128
    )
    return train - found.image


@dataclass
class Ours:
    """The generator's estimates of a scene, each searched once; `estimators` gives them by name.

    `norm` is the weight of ‖z‖² for the generator alone, .1 for MNIST and .001 for faces as published.
    `deviations` has, for each number of measurements, the standard deviation of each pixel [B, C, H, W] with
    the Gaussian residual: of what else the latents might be, where there are few, and of the residual.
    """

    source: GeneratorPrior
    residual: Spread
    restarts: int = 10
    norm: float = 0.1
    method: Method | None = None
    basis: str = "dct"
    hear: Heard | None = None
    deviations: dict[int, Tensor] = field(default_factory=dict)
    _found: dict[tuple[str, int], tuple[Sized, Found]] = field(default_factory=dict)

    def _search(self, kind: str, scene: Scene, operator: Sized, y: Tensor) -> Found:
        """The latents that fit best, or that are most probable; searched once an operator."""
        key = kind, id(operator)
        if key not in self._found:
            normal, method = self.source.latent.law == "normal", self.method
            if kind == "plain":
                misfit, norm = Misfit(operator, y), self.norm
            else:
                misfit, norm = whitened(operator, y, self.residual, scene.deviation), float(normal)
                if self._averages and isinstance(method, LevenbergMarquardt | LBFGS):
                    method = replace(method, race=0)  # the mean is over where all restarts end
            found = self.source.search(
                misfit,
                start=self._starts(misfit, scene),
                seed=scene.seed,
                method=method,
                prior=Prior(norm=norm, within=None if normal else 1.0),
                decoded=unit,
                hear=self.hear,
            )
            self._found[key] = operator, found  # the operator is kept, so that its id stays its own
        return self._found[key][1]

    @property
    def _averages(self) -> bool:
        return self.source.latent.law == "normal" and self.source.latent.size <= FEW

    def _starts(self, misfit: Misfit, scene: Scene) -> Tensor:
        """Random latents, the second half of them the nearest of 1,000 where there is one class."""
        source, near = self.source, self.restarts // 2 if len(self.source.decoders) == 1 else 0
        start = random_starts(source.latent, self.restarts - near, len(misfit.measured), scene.seed)
        if not near:
            return start
        best = nearest_of_many(unit(source.decoders[0]), misfit, source.latent, near, seed=scene.seed)
        return torch.cat([start, best])

    def _alone(self, scene: Scene, operator: Sized, y: Tensor) -> Tensor:
        return self._search("plain", scene, operator, y).image

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
        found = self._search("probable", scene, scene.operator, scene.y)
        drawn, spread = found.image, torch.zeros_like(found.image)
        if self._averages:
            misfit = whitened(scene.operator, scene.y, self.residual, scene.deviation)
            means = []
            for start in range(0, len(drawn), AT_ONCE):
                some = slice(start, start + AT_ONCE)
                problem = Problem(unit(self.source.decoders[0]), misfit.of(some), Prior(norm=1.0))
                means.append(posterior_mean(problem, found.latents[:, some], seed=scene.seed))
            drawn, spread = torch.cat([m.image for m in means]), torch.cat([m.deviation for m in means])
        whole = gaussian_residual(scene.operator, scene.y, drawn, self.residual, scene.deviation)
        self.deviations[scene.operator.m] = (spread.square() + whole.variance).sqrt()
        return whole.image

    def estimators(self) -> Mapping[str, Estimator]:
        """By their names in `OURS`: the generator alone, with a sparse and with a Gaussian residual."""

        def alone(scene: Scene) -> Tensor:
            return self._alone(scene, scene.operator, scene.y)

        return dict(zip(OURS, (alone, self._with_sparse, self._gaussian), strict=True))

    def searched(self, scene: Scene) -> Found:
        """What the search of the generator alone found of a scene."""
        return self._search("plain", scene, scene.operator, scene.y)
