"""Relativistic objectives: the critic says how much more real a real sample looks than a fake one.

Both players' losses take the logits of real and of fake samples, so the generator needs D(real) too
(`paired`). With ψ the loss of the chosen form, the generator minimises what the critic would with real
and fake exchanged (Jolicoeur-Martineau 2018).
"""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from zerosum.names import look_up
from zerosum.objectives import Objective, as_it_is, widened
from zerosum.processes import average

__all__ = ["FORMS", "Form", "relativistic", "relativistic_average"]

Form = Literal["non-saturating", "hinge", "least-squares"]

# ψ(z): small where the margin z by which the right one leads is large.
FORMS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "non-saturating": lambda z: F.softplus(-z),
    "hinge": lambda z: F.relu(1 - z),
    "least-squares": lambda z: (z - 1).square(),
}


def _objective(critic: Callable[[Tensor, Tensor], Tensor], mixes: bool) -> Objective:
    def generator(real: Tensor | None, fake: Tensor) -> Tensor:
        if real is None:
            raise ValueError("a relativistic generator needs the critic's logits of real samples, not None")
        return critic(fake, real)

    return Objective(critic, generator, paired=True, mixes=mixes, reading=as_it_is, signed=False)


def relativistic(form: Form = "non-saturating") -> Objective:
    """RpGAN: ψ(D(x)−D(G(z))), each real sample against one fake; generator ψ(D(G(z))−D(x)).

    ψ(z) = −log σ(z), max(0, 1−z) or (z−1)², without the ½ of `least_squares` (Jolicoeur-Martineau 2018,
    there "RGAN"; 2020 for the name; R3GAN, Huang et al. 2024, uses the first form). Needs as many real as
    fake samples. Raises ValueError for another form.

    >>> game = relativistic()
    >>> game.critic(torch.tensor([2.0]), torch.tensor([-1.0]))  # log(1 + e⁻³)
    tensor([0.0486])
    """
    loss = look_up(FORMS, form, "form of relativistic")
    return _objective(lambda real, fake: loss(widened(real) - widened(fake)), mixes=False)


def relativistic_average(form: Form = "non-saturating") -> Objective:
    """RaGAN: ψ(D(x)−E D(G(z))) + ψ(E D(x)−D(G(z))); generator: real and fake exchanged.

    ψ as in `relativistic` (Jolicoeur-Martineau 2018, section 4). The means are over the whole batch, of all
    processes, and differentiated: the batch may not be cut (`mixes`). Raises ValueError for another form.

    >>> game = relativistic_average("least-squares")
    >>> game.critic(torch.tensor([2.0, 0.0]), torch.tensor([-1.0, -1.0]))  # (3−1)² + (2−1)², (1−1)² + (2−1)²
    tensor([5., 1.])
    """
    loss = look_up(FORMS, form, "form of relativistic-average")

    def critic(real: Tensor, fake: Tensor) -> Tensor:
        real, fake = widened(real), widened(fake)
        # One sum over the processes for both means; parts of the batch may differ in size.
        sums = average(torch.stack((real.sum(), fake.sum(), real.new_full((), len(real)))), 1.0)
        on_real, on_fake = sums[:2] / sums[2]
        return loss(real - on_fake) + loss(on_real - fake)

    return _objective(critic, mixes=True)
