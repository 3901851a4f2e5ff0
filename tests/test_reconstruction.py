"""A run as a prior: classes searched each, the critic and the encoder where there are any."""

from pathlib import Path

import pytest
import torch

from tests import small
from tests.priors import SIDE, trained_vae
from tests.running import start, work_alone
from zerosum.data import Dataset, open_data
from zerosum.inverse.descent import LevenbergMarquardt
from zerosum.inverse.misfit import Misfit, Whole
from zerosum.reconstruction import _carried, photographs, prior_of
from zerosum.rundir import DataOptions
from zerosum.trained import decode, load

__all__ = ["work_alone"]  # a fixture


def opened(options: DataOptions) -> Dataset:
    return open_data(options.where, size=options.size, channels=options.channels, split=options.split)


@pytest.fixture(scope="module")
def priors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("priors")


def test_an_encoder_comes_near_and_a_search_nearer(priors: Path) -> None:
    run, _, others = trained_vae(priors)
    trained = load(run)
    source = prior_of(trained)
    images = photographs(trained, str(others), opened)
    assert images.shape == (6, 1, SIDE, SIDE)
    assert source.critic is None
    assert source.encode is not None
    misfit = Misfit(Whole(), images)
    start = source.encode(images)
    told = (source.decoders[0](start) - images).square().flatten(1).sum(1)
    found = source.search(misfit, start=start[None], method=LevenbergMarquardt(steps=5))
    assert (found.misfit <= told + 1e-4).all()
    assert torch.allclose(source.decoders[0](start), trained.generator(start), atol=1e-5)


def test_nets_on_a_device_take_what_is_on_the_cpu_and_give_it_back() -> None:
    seen: list[str] = []

    def net(z: torch.Tensor) -> torch.Tensor:
        seen.append(z.device.type)
        return torch.ones(z.shape)

    carried = _carried(net, torch.device("meta"))
    assert carried(torch.zeros(2, 3)).device.type == "cpu"
    assert seen == ["meta"]
    assert _carried(net, torch.device("cpu")) is net


def test_every_class_is_searched_and_the_right_one_found(tmp_path: Path) -> None:
    data = tmp_path / "photos"
    for label in ("a", "b", "c"):
        (data / label).mkdir(parents=True)
        for number, image in enumerate(small.images(4, 8, seed=ord(label)).samples[..., 0]):
            from PIL import Image

            Image.fromarray(image).save(data / label / f"{number}.png")
    arguments = {"latent": 3, "width": 2, "critic_width": 2, "kernel": 3, "images": 64, "batch": 8}
    start(tmp_path / "run", data, "acgan", arguments=arguments, options={"labels": "own"}, every=64)
    trained = load(tmp_path / "run")
    for parameter in trained.generator.parameters():
        parameter.mul_(8)  # hardly trained, all its images are the same grey
    source = prior_of(trained)
    assert len(source.decoders) == 3
    assert source.critic is None  # it is told labels
    z = torch.randn(3, 3)
    truth = torch.cat([decode(trained.generator, z[i : i + 1], torch.tensor([i])) for i in range(3)])
    found = source.search(Misfit(Whole(), truth), restarts=4, method=LevenbergMarquardt(steps=30))
    assert found.misfits.shape == (12, 3)
    assert torch.equal(found.misfit, found.misfits.amin(0))
    assert torch.equal(found.chosen, found.misfits.argmin(0))
    assert (found.chosen // 4).tolist() == [0, 1, 2]
    assert len(prior_of(trained, "b").decoders) == 1
    with pytest.raises(ValueError, match="--label"):
        prior_of(trained, "d")


def test_a_critic_that_judges_images_alone_is_at_hand(tmp_path: Path) -> None:
    data = small.npy(tmp_path / "slopes.npy")
    start(tmp_path / "run", data, arguments={"images": 16}, every=16)
    trained = load(tmp_path / "run")
    source = prior_of(trained)
    assert source.critic is not None
    assert source.critic(trained.sample(3)).shape == (3,)
    small.npy(tmp_path / "big.npy", 2, 20)
    with pytest.raises(ValueError, match="makes"):
        photographs(trained, str(tmp_path / "big.npy"), opened)
