"""Children to be killed: imports PyTorch once, then forks for each line it is told, in milliseconds.

`write FOLDER FIRST TMPDIR` writes checkpoints FIRST, FIRST+1, … into a run directory, saying each number
before it begins; `nobody FOLDER` writes one as a user without rights. The child's process id is said first,
"gone" when it has ended.
"""

import os
import sys
from pathlib import Path

import torch
from torch import nn

from zerosum.games.game import Clock
from zerosum.rundir import RunDirectory
from zerosum.training.checkpoint import CheckpointError, write
from zerosum.training.state import State


def say(text: object) -> None:
    os.write(1, f"{text}\n".encode())


def write_forever(folder: str, first: str, temporary: str) -> None:
    os.environ["TMPDIR"] = temporary
    run, game = RunDirectory(folder), nn.Linear(2**19, 1)
    optimiser = torch.optim.SGD(game.parameters(), lr=0.1)
    with run.locked():
        for images in range(int(first), 10**6):
            nn.init.constant_(game.weight, images)
            say(images)
            write(run.checkpoint(images), game, {"player": optimiser}, State(clock=Clock(images, images)))
            run.keep_as_best(run.checkpoint(images))
            run.prune()


def write_as_nobody(folder: str) -> None:
    os.setuid(65534)
    try:
        write(Path(folder) / "2.safetensors", nn.Linear(9, 1), {}, State())
        say("written")
    except CheckpointError as error:
        say(error)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.optim.SGD([nn.Parameter(torch.zeros(1))])  # the first imports for seconds: not in each child
    for line in sys.stdin:
        command, *arguments = line.split()
        child = os.fork()
        if not child:
            say(os.getpid())  # the child itself: the parent's word could come after the child's first
            {"write": write_forever, "nobody": write_as_nobody}[command](*arguments)
            os._exit(0)
        os.waitpid(child, 0)
        say("gone")
