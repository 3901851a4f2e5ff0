"""A side's moments as they stream: as of features held whole, kept by content, in bounded memory."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from zerosum.evaluation import evaluate
from zerosum.metrics.extractors import extractor
from zerosum.metrics.frechet import Moments
from zerosum.metrics.sides import Side, features_of, moments_of, of_images, stream_of


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))


def side(name: str, seed: int, count: int = 60) -> Side:
    draw = torch.Generator().manual_seed(seed)
    return of_images(name, (0.4 * torch.randn(count, 1, 8, 8, generator=draw)).clamp(-1, 1))


def test_a_stream_gives_the_features_in_order_some_at_a_time():
    many = side("many", 1, 2100)
    judge = extractor("pixels:side=2")
    batches = list(stream_of(many, judge))
    assert [len(batch) for batch in batches] == [2048, 52]
    assert torch.equal(torch.cat(batches), features_of(many, judge))


def test_moments_are_kept_by_content_and_made_anew_where_damaged(tmp_path):
    real, judge = side("real", 1), extractor("pixels:side=4")
    first = moments_of(real, judge)
    whole = Moments.of(features_of(real, judge))
    torch.testing.assert_close(first.covariance, whole.covariance, rtol=1e-12, atol=1e-15)
    calls: list[int] = []
    counting = Side(real.name, real.count, lambda a, b: calls.append(a) or real.images(a, b), key=real.key)
    again = moments_of(counting, judge)
    assert not calls, "found in the cache"
    assert (again.count, again.mean.tolist()) == (60, first.mean.tolist())
    (kept,) = (tmp_path / "cache" / "features").glob("*.npz")
    for content in (b"", b"PK\x03\x04nothing", kept.read_bytes()[:-400]):
        kept.write_bytes(content)
        assert moments_of(counting, judge).mean.tolist() == first.mean.tolist()
        assert calls
        calls.clear()


def test_the_distance_is_the_same_streamed_and_held():
    real, fake = side("real", 1, 300), side("fake", 2, 200)
    streamed = evaluate(real, fake, ["fd"], "random:size=6,side=8")
    held = evaluate(real, fake, ["fd", "prdc"], "random:size=6,side=8")
    assert streamed["fd"] == pytest.approx(held["fd"], rel=1e-9)
    assert streamed["intervals"]["fd"] == pytest.approx(held["intervals"]["fd"], rel=1e-9)


MEASURED = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from zerosum.data import open_data
from zerosum.evaluation import evaluate
from zerosum.metrics.sides import of_dataset
real, fake = (of_dataset(open_data(path)) for path in sys.argv[1:])
def most():  # this program's own: getrusage remembers the memory of what started it
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 2**20
before = most()
found = evaluate(real, fake, ["fd"], "random:size=2048")
print(json.dumps([fake.count, found["fd"], found["intervals"]["fd"], before, most()]))
"""


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="tells no program's memory")
def test_statistics_of_50000_images_stream_in_under_a_gibibyte(tmp_path):
    random = np.random.default_rng(0)
    for name, count in (("real", 5000), ("fake", 50_000)):
        np.save(tmp_path / f"{name}.npy", random.integers(256, size=(count, 32, 32, 3), dtype=np.uint8))
    places = [str(tmp_path / f"{name}.npy") for name in ("real", "fake")]
    done = subprocess.run([sys.executable, "-c", MEASURED, *places], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    count, distance, (low, high), before, after = json.loads(done.stdout)
    assert count == 50_000
    assert low < distance < high
    print(f"{before:.2f} GiB before, {after:.2f} GiB at most")
    assert before < after < 1
