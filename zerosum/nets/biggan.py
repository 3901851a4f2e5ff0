"""The SAGAN and BigGAN family: residual nets with a non-local block, a generator told the class in each norm.

Generator and critic mirror each other for any size that halves evenly: a base of 4 to 7 pixels along
the shorter side is doubled k times, a block each; the critic has k+1 blocks, of which the last `flat`
do not halve. Feature maps as in `zerosum.nets.resnet`: with growth 16 and flat 1 the nets of both
papers at 128×128, with growth 1 and flat 2 those of BigGAN's authors for CIFAR-10. A critic is told
the class by `zerosum.nets.conditioning.ProjectedCritic`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zerosum.nets.attention import Form, NonLocal
from zerosum.nets.conditioning import ClassVectors, class_batch_norm, vector_batch_norm
from zerosum.nets.folding import ConvPool2d
from zerosum.nets.plan import even_halvings
from zerosum.nets.resnet import Block, MakeNorm, feature_maps, stem_block, up_block

__all__ = ["WEIGHT_LAWS", "BigGANCritic", "BigGANGenerator", "wide_block"]

WEIGHT_LAWS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "orthogonal": nn.init.orthogonal_,
    "glorot": nn.init.xavier_uniform_,
    "normal": partial(nn.init.normal_, std=0.02),
}  # how a weight may begin: BigGAN's, SAGAN's, and that of BigGAN's authors on CIFAR-10


def wide_block(c_in: int, c_out: int, *, halve: bool, folded: bool = True) -> Block:
    """A critic's block, c_out maps wide within: [B, c_in, H, W] → [B, c_out, H/2, W/2], or H, W kept.

    SN-GAN's, `zerosum.nets.resnet.down_block`, has c_in maps within.

    >>> wide_block(4, 8, halve=True)(torch.zeros(2, 4, 8, 8)).shape
    torch.Size([2, 8, 4, 4])
    """
    shortcut: nn.Module = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)
    return Block(
        nn.Identity(),
        nn.Conv2d(c_in, c_out, 3, padding=1),
        nn.Identity(),
        ConvPool2d(c_out, c_out, folded=folded) if halve else nn.Conv2d(c_out, c_out, 3, padding=1),
        ConvPool2d(c_in, c_out, 1, folded=folded) if halve else shortcut,
    )


def _initialise(net: nn.Module, init: str) -> None:
    if init not in WEIGHT_LAWS:
        raise ValueError(f"--init must be {', '.join(WEIGHT_LAWS)}, not {init!r}")
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            WEIGHT_LAWS[init](module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _attention_level(side: int, attention: int, deepest: int) -> int:
    """After how many halvings the maps are the largest of at most `attention` along the shorter side.

    At least one; 0 stands for none at all.

    >>> [_attention_level(side, 64, 3) for side in (32, 96, 128, 256)], _attention_level(64, 0, 3)
    ([1, 1, 1, 2], 0)
    """
    if attention == 0:
        return 0
    for level in range(1, deepest + 1):
        if side >> level <= attention:
            return level
    raise ValueError(
        f"--attention {attention}: the smallest maps that can have a non-local block are {side >> deepest} "
        "pixels along their shorter side: choose that or more, or 0 for none"
    )


def _chunk(latent: int, parts: int) -> int:
    """The size of each of `parts` equal parts of the latent."""
    if latent < 1 or latent % parts:
        below = latent // parts * parts
        near = f"{below} or {below + parts}" if below > 0 else f"{parts}"
        raise ValueError(
            f"--latent {latent} does not split into {parts} equal parts, one for the first layer and one for "
            f"each block: choose --latent {near}, or --latent-to first"
        )
    return latent // parts


class BigGANGenerator(nn.Module):
    """z [B, latent] and labels [B] → images [B, C, H, W] in (−1, 1).

    With `shared` d (BigGAN: 128) there is one embedding of d numbers a class, and each block's batch
    norms have gain and bias linear in it (`vector_batch_norm`); with 0 each norm has gains and biases
    of each class's own (SAGAN). `split_latent` cuts z into k+1 equal parts, one for the first layer, one
    beside the embedding for each block. Without `classes` labels are not asked for, and blocks see their
    part of z alone, or have plain batch norm.

    The non-local block, of the given `form`, is at the largest maps of at most `attention` pixels along
    the shorter side, and at most half the image's; 0 leaves it out. `init` is how weights begin, one of
    `WEIGHT_LAWS`. `folded=False` computes the same in plain steps.

    >>> net = BigGANGenerator((3, 64, 64), classes=10, latent=20, width=8)
    >>> net(torch.zeros(2, 20), torch.tensor([3, 1])).shape
    torch.Size([2, 3, 64, 64])

    Raises ValueError for sizes that do not halve evenly, naming the nearest, for a latent that does not
    split into equal parts or is split without an embedding beside, and where no maps are as small as
    `attention`.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        classes: int = 0,
        latent: int = 120,
        width: int = 96,
        growth: int = 16,
        shared: int = 128,
        split_latent: bool = True,
        attention: int = 64,
        form: Form = "pooled",
        init: str = "orthogonal",
        folded: bool = True,
    ) -> None:
        super().__init__()
        k = even_halvings(shape[1:])
        widths = feature_maps(width, growth, k + 1)
        if split_latent and classes and not shared:
            raise ValueError(
                "--latent-to all goes with a shared embedding: choose --shared 128, or --latent-to first"
            )
        self.chunk = _chunk(latent, k + 1) if split_latent else 0
        self.embed = ClassVectors(classes, shared) if classes and shared else None
        size = self.chunk + (shared if classes else 0)
        make_norm: MakeNorm = nn.BatchNorm2d
        if size:
            make_norm = partial(vector_batch_norm, size=size)
        elif classes:
            make_norm = partial(class_batch_norm, classes=classes)
        self.base = (widths[k], shape[1] >> k, shape[2] >> k)
        self.project = nn.Linear(self.chunk or latent, prod(self.base))
        blocks = (
            up_block(widths[i + 1], widths[i], make_norm, bias=False, folded=folded)
            for i in reversed(range(k))
        )
        self.blocks = nn.ModuleList(blocks)
        level = _attention_level(min(shape[1:]), attention, k)
        self.attends_before = k - level  # which block
        self.non_local = NonLocal(widths[level], form) if level else nn.Identity()
        self.norm = nn.BatchNorm2d(widths[0])
        self.to_image = nn.Conv2d(widths[0], shape[0], 3, padding=1)
        _initialise(self, init)
        if self.embed is not None:
            WEIGHT_LAWS[init](self.embed.weight)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        of_class = labels if self.embed is None else self.embed(labels)
        parts: Sequence[Tensor] = ()
        if self.chunk:
            z, *parts = z.split(self.chunk, 1)
        x: Tensor = self.project(z).unflatten(1, self.base)
        x = x.contiguous(memory_format=torch.channels_last)
        for j, block in enumerate(self.blocks):
            if j == self.attends_before:
                x = self.non_local(x)
            condition = of_class
            if parts:
                condition = parts[j] if of_class is None else torch.cat([of_class, parts[j]], 1)
            x = block(x, condition)
        image: Tensor = self.to_image(F.relu(self.norm(x), inplace=True))
        return torch.tanh(image)


class BigGANCritic(nn.Module):
    """Images [B, C, H, W] → logits [B]; no sigmoid, which belongs to the objective.

    Its last maps are summed over places. `attention`, `form`, `init` and `folded` as for
    `BigGANGenerator`; where an image is so small that `flat` blocks would leave none to halve, fewer are
    flat. Raises ValueError as the generator does.

    >>> BigGANCritic((3, 64, 64), width=8)(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        width: int = 96,
        growth: int = 16,
        flat: int = 1,
        attention: int = 64,
        form: Form = "pooled",
        init: str = "orthogonal",
        folded: bool = True,
    ) -> None:
        super().__init__()
        k = even_halvings(shape[1:])
        widths = feature_maps(width, growth, k + 1)
        if flat < 1:
            raise ValueError(f"--flat must be at least 1 block, not {flat}")
        halved = max(1, k + 1 - flat)  # blocks that halve
        later = (
            wide_block(widths[i - 1], widths[i], halve=i < halved, folded=folded) for i in range(1, k + 1)
        )
        self.blocks = nn.ModuleList([stem_block(shape[0], widths[0], folded=folded), *later])
        level = _attention_level(min(shape[1:]), attention, halved)
        self.attends_before = level  # which block
        self.non_local = NonLocal(widths[level - 1], form) if level else nn.Identity()
        self.feature_count = widths[k]
        self.judge = nn.Linear(self.feature_count, 1)
        _initialise(self, init)

    def features(self, x: Tensor) -> Tensor:
        """The last hidden features, [B, feature_count]."""
        for j, block in enumerate(self.blocks):
            if j == self.attends_before:
                x = self.non_local(x)
            x = block(x)
        return F.relu(x, inplace=True).sum((2, 3))

    def judge_features(self, h: Tensor) -> Tensor:
        """Logits [B] of features [B, feature_count]."""
        logits: Tensor = self.judge(h).squeeze(1)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.judge_features(self.features(x))
