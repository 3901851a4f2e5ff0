"""A GAN in one file: the parts of zerosum in a loop of your own, and the same training by `train`.

    python examples/one_file_gan.py                    # your own loop, a few minutes on two cores
    python examples/one_file_gan.py --loop train       # the library's loop: the same weights, bit for bit

Trains on 5,000 handwritten digits, which come with `pip install 'zerosum[demo]'`, and saves a grid
of digits that nobody wrote.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Adam

from zerosum.data import Dataset, Resident, open_data
from zerosum.data.pictures import grid, save_image
from zerosum.draws import Draws, Latent
from zerosum.games.adversarial import Adversarial
from zerosum.nets.dcgan import DCGANCritic, DCGANGenerator
from zerosum.objectives import non_saturating
from zerosum.penalties import r1
from zerosum.training.loop import Moment, train
from zerosum.training.state import State

BATCH, SEED = 64, 0

# What the players minimise. Another pair of losses (least_squares(), hinge(), …) can stand here: every
# objective is called the same way, on the critic's raw outputs, with (real, fake) in that order.
OBJECTIVE = non_saturating()

# What keeps the critic smooth: half its squared slope at real images. To save time it is taken at every
# fourth step only, four times as heavy.
PENALTY = r1(weight=0.2, every=4)

# What the generator starts from: 64 normal numbers an image.
LATENT = Latent(64)


def build(shape: tuple[int, ...], width: int) -> tuple[nn.Module, nn.Module, dict[str, Adam]]:
    """The two players and their optimisers."""
    torch.manual_seed(SEED)
    channels, height, across = shape
    generator = DCGANGenerator((channels, height, across), latent=LATENT.size, width=width, kernel=4)
    # A gradient penalty needs a critic that judges each image alone: layer norm does, batch norm does not.
    critic = DCGANCritic((channels, height, across), width=width, kernel=4, norm="layer")
    optimisers = {
        name: Adam(net.parameters(), lr=5e-4, betas=(0.5, 0.99), fused=True)
        for name, net in (("generator", generator), ("critic", critic))
    }
    return generator, critic, optimisers


def own_loop(
    generator: nn.Module, critic: nn.Module, optimisers: dict[str, Adam], source: Resident, steps: int
) -> None:
    """Algorithm 1 of Goodfellow et al. 2014, written out."""
    for step in range(steps):
        # Batches are addressed, not iterated: "the 64 images after the first step · 64 shown".
        real = source(step * BATCH, torch.arange(BATCH))["real"]

        # The critic's turn: raise its output on real images, lower it on fakes. `no_grad` detaches the
        # fakes: this turn must not move the generator.
        draw = Draws(SEED, step, turn=0, stop=BATCH)
        with torch.no_grad():
            fake = generator(LATENT(draw))
        loss = OBJECTIVE.critic(critic(real), critic(fake)).mean()
        if PENALTY.due(step):
            loss = loss + PENALTY(critic, real, fake, draw).mean()
        optimisers["critic"].zero_grad()
        loss.backward()
        optimisers["critic"].step()

        # The generator's turn: new fakes, judged by the critic as it now is. The critic is frozen, so
        # that gradients flow through it without being kept for it.
        critic.requires_grad_(False)
        fake = generator(LATENT(Draws(SEED, step, turn=1, stop=BATCH)))
        loss_generator = OBJECTIVE.generator(None, critic(fake)).mean()
        optimisers["generator"].zero_grad()
        loss_generator.backward()
        optimisers["generator"].step()
        critic.requires_grad_(True)

        if step % 100 == 0:
            print(f"step {step:5}: critic {loss.item():.3f}, generator {loss_generator.item():.3f}")


def library_loop(
    generator: nn.Module, critic: nn.Module, optimisers: dict[str, Adam], source: Resident, steps: int
) -> None:
    """The same by the library, which adds what a long training needs: bf16, several processes, resuming."""
    game = Adversarial(generator, critic, LATENT, OBJECTIVE, penalties=[PENALTY])

    def tell(moment: Moment) -> None:
        step = moment.clock.step - 1
        if step % 100 == 0:
            real, fake = moment.seen["critic/real"], moment.seen["critic/fake"]
            print(f"step {step:5}: D says {real:.2f} of real, {fake:.2f} of fake")

    train(game, source, optimisers, State(SEED), steps * BATCH, batch=BATCH, hooks=[tell])


@torch.no_grad()
def draw_grid(generator: nn.Module, dataset: Dataset, out: Path) -> None:
    """Save 64 samples, from latents of their own, in the data's depth and channels."""
    generator.eval()
    samples: Tensor = generator(LATENT(Draws(SEED, stop=64)))
    save_image(out, grid(dataset.format.encode(samples)))
    print(f"samples: {out}")


def main(arguments: Sequence[str] | None = None) -> tuple[nn.Module, nn.Module]:
    """Train, save a grid, and return the players."""
    parser = argparse.ArgumentParser(description="A GAN in one file.")
    parser.add_argument("--loop", choices=("own", "train"), default="own")
    parser.add_argument("--data", default="digits", help="a folder, an archive, or a set's name")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--width", type=int, default=32, help="feature maps nearest the image")
    parser.add_argument("--out", type=Path, default=Path("digits.png"))
    chosen = parser.parse_args(arguments)
    dataset = open_data(chosen.data)
    source = Resident(dataset, seed=SEED)
    generator, critic, optimisers = build(dataset.format.shape, chosen.width)
    loop = own_loop if chosen.loop == "own" else library_loop
    loop(generator, critic, optimisers, source, chosen.steps)
    draw_grid(generator, dataset, chosen.out)
    return generator, critic


if __name__ == "__main__":
    main()
