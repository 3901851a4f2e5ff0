"""A critic's step with a gradient penalty, ours against autograd's; all but the penalty is the same.

A step judges real and fake, takes WGAN-GP's penalty between them, goes backward once, and moves Adam.
The critics are of WGAN-GP's kind for 32×32 images, without normalisation: DCGAN (three 5×5 stride-2
convolutions, LeakyReLU, 64 to 256 feature maps) and a ResNet (four residual blocks of 128 feature maps
with ReLU, pooling folded into convolutions, and 1×1 shortcuts). Both run channels_last with fused Adam.

    python -m benchmarks.penalty [--json] [--rounds N] [--batch 64] [--precision fp32] [--device cpu]
"""

import argparse
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from benchmarks.rounds import interleave, report
from zerosum.draws import Draws
from zerosum.nets.dcgan import DCGANCritic
from zerosum.nets.resnet import ResNetCritic
from zerosum.objectives import wasserstein, widened
from zerosum.penalties import Critic, wgan_gp

TARGETS = {"dcgan": 1.2, "resnet": 1.2}
WIDTHS = {"dcgan": 64, "resnet": 128}
SIZE = 32

TakePenalty = Callable[[Critic, Tensor, Tensor, Draws], Tensor]


def critic_of(name: str, width: int) -> nn.Module:
    """The critic "dcgan" or "resnet"."""
    if name == "resnet":
        return ResNetCritic((3, SIZE, SIZE), width=width, pooling="mean")
    return DCGANCritic((3, SIZE, SIZE), width=width, kernel=5, norm="none")


def by_autograd(critic: Critic, real: Tensor, fake: Tensor, draw: Draws) -> Tensor:
    """10(‖∇f(x̂)‖₂ − 1)², [B], as scripts compute it: `torch.autograd.grad` with `create_graph`."""
    epsilon = draw.uniform("interpolate", 1, 1, 1)
    between = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(widened(critic(between)).sum(), between, create_graph=True)
    slope: Tensor = widened(gradient).flatten(1).norm(dim=1)
    return 10 * (slope - 1).square()


class Step:
    """A critic's steps on the same images, with this way to take the penalty."""

    def __init__(
        self, name: str, width: int, batch: int, penalty: TakePenalty, precision: str, device: str
    ) -> None:
        torch.manual_seed(0)
        critic = critic_of(name, width).to(device)
        self.critic = critic.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.adam = torch.optim.Adam(self.critic.parameters(), 1e-4, (0.0, 0.9), fused=True)
        draw = Draws(stop=batch, device=device)
        images = (draw.uniform(what, 3, SIZE, SIZE) * 2 - 1 for what in ("real", "fake"))
        self.real, self.fake = (x.contiguous(memory_format=torch.channels_last) for x in images)
        self.draw, self.penalty = draw, penalty
        self.autocast = torch.autocast(device, torch.bfloat16, enabled=precision == "bf16")

    def gradient(self) -> Tensor:
        """The mean loss, 0-d; its gradients are left in the critic."""
        self.adam.zero_grad()
        with self.autocast:
            loss = wasserstein().critic(self.critic(self.real), self.critic(self.fake))
            loss = loss + self.penalty(self.critic, self.real, self.fake, self.draw)
        loss.mean().backward()
        return loss.detach().mean()

    def __call__(self) -> None:
        self.gradient()
        self.adam.step()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.penalty", description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, help="feature maps; 64 (dcgan), 128 (resnet) where not given")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args(arguments)
    results = []
    for name in TARGETS:
        width = chosen.width or WIDTHS[name]
        plain, ours = (
            Step(name, width, chosen.batch, penalty, chosen.precision, chosen.device)
            for penalty in (by_autograd, wgan_gp())
        )
        results += interleave(plain, {name: ours}, chosen.rounds, warm_up=1, device=chosen.device)
    heading = f"{SIZE}×{SIZE}, batch {chosen.batch}, {chosen.precision}: autograd's time over ours"
    report(results, TARGETS, as_json=chosen.json, heading=heading)


if __name__ == "__main__":
    main()
