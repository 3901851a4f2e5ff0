"""Does bfloat16 cost quality? The same training in both arithmetics, several seeds, read by a LeNet.

    python -m benchmarks.precision --lenet mnist_lenet5.safetensors --data mnist --json

Prints one object a line: {"case": "bf16", "seed": 0, "confident": …, "frechet": …}. bf16 may be taken
by default where its scores lie within the spread of fp32's seeds.
"""

import argparse
import json
from pathlib import Path
from typing import Literal

import torch

from benchmarks.digits import Reading, read_digits
from zerosum.data import Dataset, Resident, open_data
from zerosum.draws import Draws
from zerosum.metrics.extractors import Extractor, extractor
from zerosum.recipes.table import RECIPES, arguments_of
from zerosum.trained import generate
from zerosum.training.loop import train
from zerosum.training.state import Average, State

SAMPLES = 5000


def trained_reading(
    dataset: Dataset, lenet: Extractor, precision: Literal["fp32", "bf16"], seed: int, images: int
) -> Reading:
    """Train `dcgan --preset small` and read its samples."""
    recipe = RECIPES["dcgan"]
    arguments = arguments_of(recipe, {"lr": 5e-4}, "small")
    torch.manual_seed(seed)
    system = recipe.build(dataset.format.shape, arguments)
    system.game.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = Average(system.game.get_submodule("generator"), system.average)
    state = State(seed, averages={"generator": average})
    source = Resident(dataset, seed=seed)
    batch = int(arguments["batch"])
    train(system.game, source, system.optimisers, state, images, batch=batch, precision=precision)
    samples = generate(average.module, system.latent, Draws(1234, stop=SAMPLES))
    real = dataset.format.decode(dataset.format.tensor(dataset.samples[:SAMPLES]))
    return read_digits(lenet, samples, real)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lenet", type=Path, required=True, help="weights of a LeNet-5 for digits")
    parser.add_argument("--data", default="mnist", help="a set of 28×28 digits")
    parser.add_argument("--images", type=int, default=100_000, help="length of each training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one object a line")
    options = parser.parse_args()
    dataset, lenet = open_data(options.data), extractor(f"lenet:weights={options.lenet}")
    for seed in range(options.seeds):
        for case in ("fp32", "bf16"):
            reading = trained_reading(dataset, lenet, case, seed, options.images)
            if options.json:
                print(json.dumps({"case": case, "seed": seed, **reading._asdict()}), flush=True)
            else:
                print(
                    f"{case} seed {seed}: {reading.confident:.1%} read with confidence, "
                    f"Fréchet distance of LeNet features {reading.frechet:.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
