"""ProGAN: nets that grow while they train.

Each setting is explained once for all recipes, in `zerosum.recipes.glossary`.
"""

from dataclasses import replace

from zerosum.draws import Latent
from zerosum.nets.progan import ProGANCritic, ProGANGenerator
from zerosum.recipes.duel import Rules, duel, image_shape, packed
from zerosum.recipes.system import System

__all__ = ["progan"]

_PROGAN = Rules(
    objective="wasserstein",
    penalty=("wgan-gp:weight=10", "drift:weight=0.001"),
    optimiser="adam:beta1=0,beta2=0.99",
    lr=1e-3,
    batch=16,
    images=None,
)


def progan(
    shape: tuple[int, ...],
    *,
    latent: int = 512,
    fmap_base: int = 8192,
    fmap_max: int = 512,
    stddev_group: int = 4,
    stable: int = 600_000,
    fade: int = 600_000,
    rules: Rules = _PROGAN,
) -> System:
    """Progressive growing: from 4×4 pixels to the full size, stage after stage (Karras et al. 2018).

    Settings of the paper and its authors' code. The length follows from the size: `stable` images for the
    base, then `fade` + `stable` for each doubling, 5.4 million at 64×64. The optimisers begin anew with each
    phase. Latents are normal, brought onto a sphere by the generator.
    """
    if rules.constraint != "none" or rules.generator_constraint != "none":
        raise ValueError(
            "progan's weights are N(0, 1) and scaled as they are used, which a constraint would undo: leave "
            "out --constraint and --generator-constraint; a --penalty bounds the slope"
        )
    if stable < rules.batch * rules.critic_steps:
        raise ValueError(f"--stable {stable} is less than one step's images: raise it, or lower --batch")
    generator = ProGANGenerator(
        image_shape("progan", shape),
        latent=latent,
        fmap_base=fmap_base,
        fmap_max=fmap_max,
        stable=stable,
        fade=fade,
    )
    critic = ProGANCritic(
        image_shape("progan", packed(shape, rules)),
        fmap_base=fmap_base,
        fmap_max=fmap_max,
        group=stddev_group,
        stable=stable,
        fade=fade,
    )
    plan = generator.growth
    length = plan.images if rules.images is None else rules.images
    return duel(generator, critic, Latent(latent), replace(rules, images=length), growth=plan)
