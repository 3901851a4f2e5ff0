"""A training's input, ours against the usual loader: images a second, ready to train on.

The baseline decodes each JPEG with PIL as it is shown, resizes, converts and normalises it in two
worker processes of a DataLoader. Ours holds the decoded bytes on the device, indexes and converts
them there. Both give shuffled float batches in [−1, 1] of the same 64×64 JPEGs; reading the folder,
which ours does once, is outside the timing and printed apart.

    python -m benchmarks.input_pipeline [--json] [--rounds N] [--batch 64] [--images 2048] [--device cpu]
"""

import argparse
import io
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.rounds import interleave, report
from zerosum.data import Resident, open_data

TARGETS = {"resident": 15.0}
FACES = Path(__file__).resolve().parents[2] / "shared" / "data" / "celeba_10k.tar.gz"
SIZE = 64


class Decoding(Dataset[Tensor]):
    """A folder of pictures, each decoded when asked for: [3, 64, 64] in [−1, 1]."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.iterdir())

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self.paths[index]) as file:
            image = file.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        values = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
        return values.sub_(0.5).div_(0.5)


def faces(archive: Path, count: int) -> Iterator[Image.Image]:
    """The first pictures of a tar, their central squares."""
    with tarfile.open(archive) as tar:
        for member in islice((m for m in tar if m.name.endswith(".jpg")), count):
            file = tar.extractfile(member)
            assert file is not None
            image = Image.open(io.BytesIO(file.read())).convert("RGB")
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            yield image.crop((left, top, left + side, top + side)).resize((SIZE, SIZE))


def clouds(count: int) -> Iterator[Image.Image]:
    """Smooth random colours with a little grain: about as dear to decode as a photograph."""
    draw = np.random.default_rng(0)
    for _ in range(count):
        coarse = Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC), dtype=np.float64)
        yield Image.fromarray(np.clip(smooth + draw.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8))


def fill(folder: Path, count: int) -> str:
    """Write `count` JPEGs of 64×64; says of what."""
    real = FACES.exists()
    folder.mkdir()
    for number, image in enumerate(faces(FACES, count) if real else clouds(count)):
        image.save(folder / f"{number:06}.jpg", quality=90)
    return "CelebA faces" if real else "generated clouds"


def runners(
    folder: Path, cache: Path, batch: int, device: torch.device | str
) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """The baseline's epoch and ours: each gives the mean of all it delivered, which must agree."""
    loader = DataLoader(
        Decoding(folder), batch, shuffle=True, num_workers=2, persistent_workers=True, drop_last=True
    )
    source = Resident(open_data(folder, size=SIZE, cache=cache), device=device)
    shown = 0

    def plain() -> Tensor:
        return torch.stack([images.to(device).mean() for images in loader]).mean()

    def ours() -> Tensor:
        nonlocal shown
        means = []
        for _ in range(source.size // batch):
            means.append(source(shown, torch.arange(batch))["real"].mean())
            shown += batch
        return torch.stack(means).mean()

    return plain, ours


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.input_pipeline", description="Ours against a DataLoader that decodes."
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "images"
        kind = fill(folder, chosen.images)
        began = time.perf_counter()
        plain, ours = runners(folder, Path(scratch) / "cache", chosen.batch, chosen.device)
        reading = time.perf_counter() - began
        results = interleave(plain, {"resident": ours}, chosen.rounds, device=chosen.device)
    heading = f"{chosen.images} {kind}, 64×64, batch {chosen.batch}, read once in {reading:.1f} s"
    report(results, TARGETS, as_json=chosen.json, heading=heading)


if __name__ == "__main__":
    main()
