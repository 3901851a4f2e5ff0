"""The benchmarks compare like with like, and say what they found in one form."""

import json
from collections.abc import Iterator

import pytest
import torch

from benchmarks import input_pipeline, mmd, penalty, rounds, train_step
from zerosum.draws import Draws
from zerosum.penalties import wgan_gp

SIZE, WIDTH, BATCH = 16, 4, 8


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Nets this small lose more to waiting for a second thread than it brings."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trained(which: tuple[str, str], steps: int) -> tuple[train_step.Baseline, train_step.Baseline]:
    """The baseline after `steps` steps, and ours after as many on the same draws, as the baseline's nets."""
    contest = train_step.CONTESTS[which]
    source = train_step.noise(SIZE, 4 * BATCH, "cpu")
    ours = train_step.Ours(contest, source, SIZE, WIDTH, BATCH, "fp32", seed=3)
    plain = contest.plain(SIZE, WIDTH, "cpu").like(ours.generator, ours.critic)
    for step in range(steps):
        real = source(step * BATCH, torch.arange(BATCH))["real"].contiguous()
        draw = Draws(3, step, 0, 0, BATCH)
        z = draw.normal("latent", ours.latent)
        share = {"share": draw.uniform("interpolate", 1, 1, 1)} if which[1] == "wgan-gp" else {}
        plain.step(real, z, **share)
        ours.step()
    return plain, contest.plain(SIZE, WIDTH, "cpu").like(ours.generator, ours.critic)


@pytest.mark.parametrize("which", train_step.CONTESTS, ids=" ".join)
def test_train_step_ours_and_the_baseline_compute_the_same(which):
    plain, ours = trained(which, 3)
    start, _ = trained(which, 0)
    for mine, theirs, before in (
        (ours.generator, plain.generator, start.generator),
        (ours.critic, plain.critic, start.critic),
    ):
        for (name, a), b, c in zip(
            mine.named_parameters(), theirs.parameters(), before.parameters(), strict=True
        ):
            still = name == "judge.bias" and which[1] == "wgan-gp"  # it shifts both of its means alike
            assert still or (b - c).abs().max() > 1e-4, f"{name} did not move"
            assert (a - b).norm() <= 2e-3 * (b - c).norm(), name


@pytest.mark.parametrize(
    "net", [["--net", "dcgan"], ["--net", "resnet"], ["--net", "resnet", "--penalty", "wgan-gp"]]
)
def test_train_step_prints_json(net, capsys):
    train_step.main([*net, "--json", "--rounds", "3", "--batch", "4", "--size", "16", "--width", "2"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["case"] for line in lines] == ["exact", "bf16"]
    for line in lines:
        assert set(line) == {"case", "ratio", "rounds"}
        assert len(line["rounds"]) == 3
        assert line["ratio"] == sorted(line["rounds"])[1] > 0


def test_train_step_refuses_a_penalty_that_it_has_no_plain_form_of(capsys):
    with pytest.raises(SystemExit):
        train_step.main(["--net", "dcgan", "--penalty", "wgan-gp"])
    assert "--penalty wgan-gp needs --net resnet" in capsys.readouterr().err


def test_input_pipeline_prints_json(capsys):
    input_pipeline.main(["--json", "--rounds", "2", "--images", "16", "--batch", "8"])
    (line,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert line["case"] == "resident"
    assert len(line["rounds"]) == 2


def test_input_pipelines_deliver_the_same_images(tmp_path):
    images = [*input_pipeline.clouds(16)]
    (tmp_path / "images").mkdir()
    for number, image in enumerate(images):
        image.save(tmp_path / "images" / f"{number}.jpg", quality=90)
    plain, ours = input_pipeline.runners(tmp_path / "images", tmp_path / "cache", 8, "cpu")
    torch.testing.assert_close(ours(), plain(), rtol=1e-5, atol=1e-6)


def test_mmd_ours_and_the_baseline_compute_the_same():
    for widths, size in mmd.CASES.values():
        plain, ours = mmd.runners(widths, size, 40, "cpu")
        torch.testing.assert_close(ours(), plain(), rtol=1e-3, atol=2e-6)
        assert ours()[1].abs().max() > 1e-4


def test_mmd_prints_json(capsys):
    mmd.main(["--json", "--rounds", "2", "--batch", "8"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["case"] for line in lines] == list(mmd.CASES)


@pytest.mark.parametrize("name", penalty.TARGETS)
def test_penalty_steps_compute_the_same(name):
    steps = [penalty.Step(name, 4, 6, way, "fp32", "cpu") for way in (penalty.by_autograd, wgan_gp())]
    losses = [step.gradient() for step in steps]
    torch.testing.assert_close(*losses, rtol=2e-5, atol=0)
    plain, ours = ([p.grad for p in step.critic.parameters()] for step in steps)
    for a, b in zip(plain, ours, strict=True):
        assert (a - b).norm() <= 2e-5 * a.norm()


def test_penalty_prints_json(capsys):
    penalty.main(["--json", "--rounds", "2", "--batch", "2", "--width", "2"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["case"] for line in lines] == ["dcgan", "resnet"]
    assert all(len(line["rounds"]) == 2 for line in lines)


def test_interleave_alternates_and_divides_baseline_by_ours(monkeypatch):
    clock, calls = [0.0], []
    monkeypatch.setattr(rounds.time, "perf_counter", lambda: clock[0])

    def runner(name: str, seconds: float):
        def run() -> None:
            calls.append(name)
            clock[0] += seconds

        return run

    cases = rounds.interleave(
        runner("plain", 6.0), {"a": runner("a", 2.0), "b": runner("b", 3.0)}, 3, warm_up=1
    )
    assert {case.name: case.ratio for case in cases} == {"a": 3.0, "b": 2.0}
    assert calls == ["plain", "a", "b", "plain", "a", "b", "a", "b", "plain", "b", "plain", "a"]


def test_table_is_readable(capsys):
    rounds.report([rounds.Case("exact", (1.0, 1.2, 1.3))], {"exact": 1.15}, as_json=False, heading="what")
    out = capsys.readouterr().out
    assert "what" in out
    assert "1.20" in out
    assert "1.15" in out
