"""Latent search, ours against the published ways, on a trained generator and images it never saw.

"lm" (up to 32 latents) or "lbfgs" (more): the time that Adam's 1,000 steps take, over the time in which
Levenberg–Marquardt or L-BFGS comes as low, its restarts in a race (the commands' `--race 4`, `--race 40`)
unless `--no-race` is given. As low is the mean over images of the objective of each image's best restart.
"batch": Adam with all restarts in one batch and batch norm folded, against one restart after the other
through the plain generator, equal steps. Measurements are Gaussian and noisy, as in Bora et al. 2017:
A ~ N(0, 1/m), √E‖η‖² = .1 for images in [0, 1].

    python -m benchmarks.search RUN --images DATA [--measurements M] [--restarts R] [--count B] [--json]
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import Tensor

from benchmarks.rounds import Case, report
from zerosum.draws import Draws, mix
from zerosum.inverse.descent import LBFGS, Adam, LevenbergMarquardt, Method
from zerosum.inverse.gaussian import Gaussian
from zerosum.inverse.misfit import Decode, Misfit, Prior, Problem
from zerosum.inverse.search import random_starts
from zerosum.reconstruction import photographs, prior_of
from zerosum.recorder import console
from zerosum.rundata import open_with_bar
from zerosum.trained import load

TARGETS = {"lm": 5.0, "lbfgs": 2.0, "batch": 1.5}
SECOND: dict[str, LevenbergMarquardt | LBFGS] = {
    "lm": LevenbergMarquardt(steps=60, race=4),
    "lbfgs": LBFGS(steps=400, race=40),
}


def best_of(values: Tensor) -> float:
    """Objectives [R, B] → the mean over images of each one's best restart."""
    return float(values.amin(0).mean())


def curve(method: Method, problem: Problem, start: Tensor) -> list[tuple[float, float]]:
    """(seconds, objective) after each step."""
    seen: list[tuple[float, float]] = []
    began = time.perf_counter()

    def hear(iteration: int, of: int, best: Tensor) -> None:
        seen.append((time.perf_counter() - began, best_of(best)))

    method(problem, start, hear)
    return seen


def sooner(first: list[tuple[float, float]], second: list[tuple[float, float]]) -> float:
    """How much sooner the second curve is as low as the first one ends; 0 where it never is.

    >>> sooner([(1.0, 9.0), (8.0, 2.0)], [(1.0, 5.0), (2.0, 1.9)])
    4.0
    """
    target = first[-1][1]
    return next((first[-1][0] / seconds for seconds, value in second if value <= target), 0.0)


def timed(run: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def in_turn(decode: Decode, misfit: Misfit, prior: Prior, start: Tensor, steps: int, rate: float) -> None:
    """Each restart by itself."""
    for one in start:
        Adam(rate, steps)(Problem(decode, misfit, prior), one[None])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="a run directory")
    parser.add_argument("--images", required=True, help="images it never saw: a folder, a named set's split")
    parser.add_argument("--measurements", type=int, default=100)
    parser.add_argument("--restarts", type=int, default=4)
    parser.add_argument("--count", type=int, default=8, help="images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000, help="Adam's")
    parser.add_argument(
        "--rate", type=float, default=None, help="Adam's; .01 up to 32 latents, else .1, as published"
    )
    parser.add_argument(
        "--norm", type=float, default=None, help="the prior's weight; .1 or .001 as published"
    )
    parser.add_argument("--no-race", action="store_true", help="all restarts go on to their ends")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)

    trained = load(options.run, device="cpu")
    source = prior_of(trained)
    few = source.latent.size <= 32
    rate = options.rate or (0.01 if few else 0.1)
    truth = photographs(trained, options.images, lambda data: open_with_bar(data, console()), options.count)
    truth = (truth + 1) / 2
    operator = Gaussian(source.shape, options.measurements)
    noise = Draws(mix(0, "noise"), stop=len(truth)).normal("noise", options.measurements)
    misfit = Misfit(operator, operator.forward(truth) + 0.1 * options.measurements**-0.5 * noise)
    norm = (0.1 if few else 0.001) if options.norm is None else options.norm
    prior = Prior(norm=norm)
    folded = source.decoders[0]

    def unit(decode: Decode) -> Decode:
        return lambda z: (decode(z) + 1) / 2

    problem = Problem(unit(folded), misfit, prior)
    name = "lm" if few else "lbfgs"
    second = replace(SECOND[name], race=0) if options.no_race else SECOND[name]
    ratios: dict[str, list[float]] = {name: [], "batch": []}
    plain = trained.generator.eval().requires_grad_(False)
    steps = max(1, options.steps // 20)
    for number in range(options.rounds):
        start = random_starts(source.latent, options.restarts, len(truth), seed=number)
        ratios[name].append(
            sooner(curve(Adam(rate, options.steps), problem, start), curve(second, problem, start))
        )
        turn = timed(partial(in_turn, unit(plain), misfit, prior, start, steps, rate))
        whole = timed(partial(Adam(rate, steps), problem, start))
        ratios["batch"].append(turn / whole)
    heading = (
        f"{trained.record.recipe}, {source.latent.size} latents, {len(truth)} images x "
        f"{options.restarts} restarts, {options.measurements} measurements"
    )
    cases = [Case(case, tuple(values)) for case, values in ratios.items()]
    report(cases, TARGETS, as_json=options.json, heading=heading)


if __name__ == "__main__":
    main()
