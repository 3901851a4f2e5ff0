"""Fixtures shared by all tests."""

from pathlib import Path

import pytest
import torch
from hypothesis import settings

# The same examples every time, and no judgement of a busy machine's speed.
settings.register_profile("seeded", deadline=None, derandomize=True, database=None)
settings.load_profile("seeded")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images and weights beside the checkout; tests that need it skip without it."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the data folder {SHARED.name} beside the checkout")
    return SHARED


@pytest.fixture(autouse=True)
def _two_threads() -> None:
    torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
