"""The latent space: ways between latents, squares, arithmetic of averaged exemplars, and how smooth a way is.

A latent is [..., k], of a normal law or of a uniform one on [−1, 1] (`zerosum.draws.Latent`). Normal latents
of many dimensions lie near the sphere of radius √k, and a straight line between two of them leaves it
(White 2016, arXiv:1609.04468): `slerp` is for them, `lerp` for uniform ones, whose cube it never leaves.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from zerosum.draws import Draws, Latent, mix

__all__ = [
    "WAYS",
    "Distance",
    "Smoothness",
    "Way",
    "along",
    "arithmetic",
    "evenly",
    "l2",
    "lerp",
    "neighbours",
    "path",
    "slerp",
    "smoothness",
    "square",
    "way_for",
    "within",
]

Way = Callable[[Tensor, Tensor, Tensor], Tensor]
Distance = Callable[[Tensor, Tensor], Tensor]  # images twice → [B]
_ALIGNED = 1e-9  # sin θ below which two directions span no plane


def lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """(1 − t)a + tb for latents [..., k] and t [...] in [0, 1].

    >>> lerp(torch.zeros(2), torch.tensor([1.0, 2.0]), torch.tensor(0.5))
    tensor([0.5000, 1.0000])
    """
    x, y, share = torch.broadcast_tensors(a, b, t.to(a)[..., None])
    return torch.lerp(x, y, share)


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Along the great circle from a/‖a‖ to b/‖b‖, at the radius (1 − t)‖a‖ + t‖b‖; [..., k], t in [0, 1].

    The direction is cos(tθ)u + sin(tθ)w, θ the angle between them, u = a/‖a‖ and w the unit vector at a right
    angle to u towards b: Shoemake's (1985) formula, without its division by sin θ. Opposite vectors have
    many great circles, of which one is taken, the same each time. From or to 0 it is a straight line.

    >>> slerp(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 4.0]), torch.tensor(0.5))
    tensor([2.1213, 2.1213])
    """
    x, y, share = torch.broadcast_tensors(a.double(), b.double(), t.double()[..., None])
    share = share[..., :1]
    radii = [v.norm(dim=-1, keepdim=True) for v in (x, y)]
    u, v = (w / r.clamp_min(torch.finfo(r.dtype).tiny) for w, r in zip((x, y), radii, strict=True))
    u, v = torch.where(radii[0] > 0, u, v), torch.where(radii[1] > 0, v, u)
    # By Kahan's formula: the arc cosine of u·v loses half of the digits of small angles.
    angle = 2 * torch.atan2((u - v).norm(dim=-1, keepdim=True), (u + v).norm(dim=-1, keepdim=True))
    aside = v - (u * v).sum(-1, keepdim=True) * u  # sin θ long
    length = aside.norm(dim=-1, keepdim=True)
    away = torch.where(length > _ALIGNED, aside / length.clamp_min(_ALIGNED), _orthogonal(u))
    direction = torch.cos(share * angle) * u + torch.sin(share * angle) * away
    return (torch.lerp(radii[0], radii[1], share) * direction).to(a.dtype)


def _orthogonal(u: Tensor) -> Tensor:
    """A unit vector at a right angle to each unit vector [..., k]: 0 where k = 1."""
    least = u.abs().argmin(-1, keepdim=True)
    axis = torch.zeros_like(u).scatter(-1, least, 1.0)
    aside = axis - (axis * u).sum(-1, keepdim=True) * u
    unit: Tensor = aside / aside.norm(dim=-1, keepdim=True).clamp_min(_ALIGNED)
    return unit


WAYS: Mapping[str, Way] = {"slerp": slerp, "lerp": lerp}


def way_for(latent: Latent, name: str | None = None) -> str:
    """The way asked for, or the one that goes with the law: slerp for normal latents, lerp for uniform ones.

    >>> way_for(Latent(100)), way_for(Latent(100, "uniform"))
    ('slerp', 'lerp')

    Raises ValueError for slerp between uniform latents, which may leave their cube.
    """
    if name == "slerp" and latent.law == "uniform":
        raise ValueError("--how slerp is for normal latents, and these are uniform: choose --how lerp")
    return name or ("lerp" if latent.law == "uniform" else "slerp")


def path(points: Tensor, steps: int, way: Way = slerp, *, loop: bool = False) -> Tensor:
    """A way through points [m, k] in turn: `steps` latents from each to the next, both included; [n, k].

    n is (m − 1)(steps − 1) + 1. A `loop` goes back to the first point and stops one step before it, so that
    shown again and again it does not halt: n is m(steps − 1).

    >>> path(torch.tensor([[0.0], [1.0], [3.0]]), 3, lerp).flatten().tolist()
    [0.0, 0.5, 1.0, 2.0, 3.0]

    Raises ValueError for fewer than two points or steps.
    """
    if points.dim() != 2 or len(points) < 2:
        raise ValueError(f"a way needs at least two points [m, k], not {list(points.shape)}")
    if steps < 2:
        raise ValueError(f"--steps must be at least 2, as both ends are steps, not {steps}")
    t = torch.linspace(0, 1, steps, dtype=torch.float64)[:-1]
    stops = torch.cat([points, points[:1]]) if loop else points
    legs = way(stops[:-1, None], stops[1:, None], t).flatten(0, 1)
    return legs if loop else torch.cat([legs, stops[-1:]])


def square(corners: Tensor, steps: int, way: Way = slerp) -> Tensor:
    """Between four latents [4, k], top left, top right, bottom left, bottom right: [steps, steps, k].

    Down the left and the right side first, then across; with `lerp` it is bilinear.

    >>> square(torch.tensor([[0.0], [2.0], [4.0], [6.0]]), 3, lerp)[1].flatten().tolist()
    [2.0, 3.0, 4.0]

    Raises ValueError unless there are four corners and two steps.
    """
    if corners.dim() != 2 or len(corners) != 4:
        raise ValueError(f"a square has four corners [4, k], not {list(corners.shape)}")
    left, right = (path(corners[[i, i + 2]], steps, way) for i in (0, 1))
    return way(left[:, None], right[:, None], torch.linspace(0, 1, steps, dtype=torch.float64))


def arithmetic(plus: Sequence[Tensor], minus: Sequence[Tensor]) -> Tensor:
    """Σ of the means of `plus` − Σ of those of `minus`, each concept's exemplars [n, k]; [k].

    DCGAN's vector arithmetic (Radford et al. 2015, section 6.3.2), which found that one exemplar a concept is
    not stable, and averaged three. With three each, a − b + c of independent normal latents is as long as
    a latent is; a mean alone is 1/√3 as long.

    >>> arithmetic([torch.tensor([[1.0], [3.0]]), torch.tensor([[5.0]])], [torch.tensor([[4.0]])])
    tensor([3.])

    Raises ValueError for no concept to add and for one without exemplars.
    """
    if not plus or not all(len(concept) for concept in (*plus, *minus)):
        raise ValueError("arithmetic needs a concept to add, and an exemplar of each concept")
    total = torch.stack([concept.mean(0) for concept in plus]).sum(0)
    for concept in minus:
        total = total - concept.mean(0)
    return total


def within(z: Tensor, latent: Latent) -> Tensor:
    """Latents brought to where their law lives: uniform ones are clamped to [−1, 1], others left as they are.

    >>> within(torch.tensor([1.5]), Latent(1, "uniform"))
    tensor([1.])
    """
    return z.clamp(-1, 1) if latent.law == "uniform" else z


def neighbours(z: Tensor, count: int = 8, scale: float = 0.25, seed: int = 0) -> Tensor:
    """z [k] with noise uniform on ±scale added, `count` times: [count, k]; .25 is that of DCGAN's figure 7.

    >>> bool((neighbours(torch.zeros(5)).abs() <= 0.25).all())
    True
    """
    noise = Draws(mix("neighbours", seed), stop=count).uniform("neighbour", z.shape[-1])
    return z + scale * (2 * noise - 1).to(z)


def along(z: Tensor, directions: Tensor, reach: float = 3.0, steps: int = 7) -> Tensor:
    """z [k] moved from −reach to reach along each direction [d, k]: [d, steps, k].

    >>> along(torch.zeros(2), torch.eye(2), reach=3, steps=3)[0].tolist()
    [[-3.0, 0.0], [0.0, 0.0], [3.0, 0.0]]

    Raises ValueError for fewer than two steps.
    """
    if steps < 2:
        raise ValueError(f"--steps must be at least 2, not {steps}")
    return z + torch.linspace(-reach, reach, steps).to(z)[:, None] * directions[:, None]


def l2(x: Tensor, y: Tensor) -> Tensor:
    """The Euclidean distance of images [B, …] in [−1, 1]: [B].

    >>> l2(torch.zeros(2, 3), torch.ones(2, 3))
    tensor([1.7321, 1.7321])
    """
    distance: Tensor = (x - y).flatten(1).norm(dim=1)
    return distance


def evenly(images: Tensor, distance: Distance, steps: int) -> Tensor:
    """Which of a finely divided walk's images [n, …] are `steps` ones about equally far apart: int64 [steps].

    Both ends are among them; the i-th is where i/(steps − 1) of the way's length lies behind, the sum of the
    distances. A generator hardly changes along one part of a line and quickly along another; this does not.

    >>> evenly(torch.tensor([[0.0], [0.0], [0.0], [2.0], [4.0]]), l2, 3)
    tensor([0, 3, 4])
    """
    behind = torch.cat([images.new_zeros(1), distance(images[:-1], images[1:])]).cumsum(0)
    marks = torch.linspace(0, 1, steps).to(behind) * behind[-1]
    chosen = (behind[None] - marks[:, None]).abs().argmin(1)
    chosen[-1] = len(images) - 1
    return chosen


class Smoothness(NamedTuple):
    """A walk's steps in some distance: the largest over the mean, the mean, and how far it goes.

    `ends` is the distance of its ends, `apart` the median one of random pairs of samples: a walk whose ends
    are nearer than that goes nowhere, and its steps are small for nothing.
    """

    ratio: float
    mean: float
    ends: float
    apart: float


def smoothness(images: Tensor, distance: Distance, apart: float, end: int = -1) -> Smoothness:
    """How smooth a walk's images [n, …] are in `distance`; `apart` is the median one of random pairs.

    `end` is where the walk is furthest along: its last image, or an earlier one of a loop.

    >>> smoothness(torch.tensor([[0.0], [1.0], [4.0]]), l2, apart=2.0)
    Smoothness(ratio=1.5, mean=2.0, ends=4.0, apart=2.0)

    Raises ValueError for fewer than two images, and for a walk that stands still.
    """
    if len(images) < 2:
        raise ValueError(f"a walk has at least two images, not {len(images)}")
    steps = distance(images[:-1], images[1:])
    if not bool(steps.max() > 0):
        raise ValueError("every image of the walk is the same: choose ends that differ")
    ends = distance(images[:1], images[[end]])
    return Smoothness(float(steps.max() / steps.mean()), float(steps.mean()), float(ends), apart)
