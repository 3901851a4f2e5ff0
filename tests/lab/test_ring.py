import math
from dataclasses import asdict, replace

import pytest
import torch

from zerosum.data.toys import ring, ring_modes
from zerosum.games.game import Clock
from zerosum.lab import ring as ring_module
from zerosum.lab import ring_seeds
from zerosum.lab.experiment import Settings
from zerosum.lab.ring import CENTRES, ENTRANTS, LOOK, MODE_COLLAPSE, SIGMA, snapshots, trial
from zerosum.lab.ring_seeds import kept, main, seeds_of, settings_of, table_of

each = pytest.mark.parametrize("name", ENTRANTS)


def test_the_vanilla_setting_is_the_published_one():
    vanilla = ENTRANTS["vanilla"]
    rules = vanilla.rules
    assert (rules.batch, vanilla.latent, vanilla.hidden, vanilla.smooth) == (512, 256, (128, 128), True)
    assert (rules.lr, rules.critic_lr, rules.optimiser) == (1e-3, 1e-4, "adam:beta1=0.5,beta2=0.999")
    assert (rules.objective, rules.penalty, rules.average, vanilla.falls) == ("non-saturating", (), 0, 1)


def test_each_remedy_is_one_change_to_the_game_at_even_rates():
    plain = ENTRANTS["vanilla at even rates"]

    def changed(name):
        rules, usual = asdict(ENTRANTS[name].rules), asdict(plain.rules)
        own, base = asdict(ENTRANTS[name]), asdict(plain)
        return {k for k in rules if rules[k] != usual[k]} | {k for k in own if own[k] != base[k]} - {"rules"}

    assert {name: changed(name) for name in list(ENTRANTS)[2:]} == {
        "unrolled": {"unroll"},
        "minibatch discrimination": {"batch_layer"},
        "PacGAN": {"pack", "batch"},  # as many packs as the others have samples
        "WGAN-GP": {"objective", "penalty", "critic_steps", "lr"},
        "RpGAN+R1+R2": {"objective", "penalty", "lr"},
    }


@each
def test_every_entrant_learns_from_the_same_ring_and_the_seed_alone(name):
    first, second, other = (trial(name, seed, 2) for seed in (3, 3, 4))
    assert first.steps == (0, 1, 2)
    assert first.samples.shape == (3, 2500, 2)
    assert torch.equal(first.samples, second.samples)
    assert first.found == second.found
    assert not torch.equal(first.samples, other.samples)
    assert all(not torch.equal(a, b) for a, b in zip(first.samples, first.samples[1:], strict=False))


def test_weights_follow_the_seed_and_nothing_else():
    torch.manual_seed(8)
    first, second, other = (
        torch.cat([p.flatten() for p in ENTRANTS["PacGAN"].system(seed, 9).game.parameters()])
        for seed in (3, 3, 4)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_samples_are_drawn_from_the_average_where_one_is_kept(monkeypatch):
    plain = ENTRANTS["vanilla at even rates"]
    bare = replace(plain, rules=replace(plain.rules, average=0.0))
    monkeypatch.setattr(ring_module, "ENTRANTS", {"plain": plain, "bare": bare})
    averaged, last = trial("plain", 0, 3).samples, trial("bare", 0, 3).samples
    assert torch.equal(averaged[0], last[0])
    assert not torch.equal(averaged[2], last[2])
    assert (averaged[3] - averaged[0]).norm() < (last[3] - last[0]).norm()


def test_the_radius_is_one_and_sigma_a_fiftieth():
    assert torch.allclose(CENTRES.norm(dim=1), torch.ones(8))
    points = torch.from_numpy(ring(8000, 0, std=SIGMA))
    off = points - CENTRES[torch.cdist(points, CENTRES).argmin(1)]
    assert off.std().item() == pytest.approx(0.02, rel=0.02)
    assert ring_modes().shape == (8, 2)


@each
def test_the_rates_are_constant_and_then_fall_to_nothing(name):
    entrant = ENTRANTS[name]
    system = entrant.system(0, 1000)
    if entrant.falls == 1:
        assert not system.schedules
        return
    for player, rate in (
        ("generator", entrant.rules.lr),
        ("critic", entrant.rules.critic_lr or entrant.rules.lr),
    ):
        law = system.schedules[player]
        middle = int((1 + entrant.falls) / 2 * system.images)
        assert [law(Clock(0, at))["lr"] for at in (0, middle, system.images)] == pytest.approx(
            [rate, rate / 2, 0], rel=1e-3, abs=1e-12
        )


def test_snapshots_end_with_the_last_step():
    assert snapshots(25_000) == (0, 1000, 5000, 10_000, 15_000, 20_000, 25_000)
    assert snapshots(7) == (0, 1, 2, 4, 5, 7)


def test_the_paragraph_tells_what_was_found():
    result = MODE_COLLAPSE.run(Settings(quick=True))
    assert set(result.numbers) == set(ENTRANTS)
    assert "far too short to judge" in result.says
    for name, one in result.numbers.items():
        assert f"{name} {one['modes'][-1]} and" in result.says
        assert 0 <= one["KL of the histogram"][-1] <= math.log(8)


@pytest.fixture
def runs(monkeypatch):
    """The trials that were run, as (name, seed)."""
    asked = []

    def counted(name, seed, steps):
        asked.append((name, seed))
        return trial(name, seed, steps)

    monkeypatch.setattr(ring_seeds, "trial", counted)
    return asked


def test_a_run_is_kept_and_found_again(tmp_path, runs):
    first, again = (kept("PacGAN", 5, 4, tmp_path) for _ in range(2))
    assert runs == [("PacGAN", 5)]
    assert torch.equal(first.samples, again.samples)
    assert (first.found, first.steps, first.seconds) == (again.found, again.steps, again.seconds)
    with pytest.raises(ValueError, match=r"PacGAN-5\.safetensors was made with other settings"):
        kept("PacGAN", 5, 6, tmp_path)


def test_the_long_command_shows_every_run(tmp_path, runs, capsys):
    main(["--seeds", "0,100", "--systems", "vanilla,WGAN-GP", "--steps", "2", "--out", str(tmp_path)])
    assert runs == [(name, seed) for name in ("vanilla", "WGAN-GP") for seed in (0, 100)]
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    assert [row.split(" | ")[:2] for row in rows] == [[f"| {name}", str(seed)] for name, seed in runs]
    assert rows == capsys.readouterr().out.splitlines()
    assert f"- **vanilla**: {settings_of('vanilla')}" in table
    pictures = {"seeds.png", "steps-0.png", "steps-100.png"}
    assert pictures <= {path.name for path in tmp_path.iterdir()}


def test_the_table_has_the_numbers_of_each_snapshot():
    one = trial("vanilla", 0, 2)
    row = table_of([one]).splitlines()[2].split(" | ")
    assert len(row) == 1 + 1 + (len(one.steps) - 1) + 2
    last = one.found[-1]
    assert row[-3] == f"{last.hit}, {100 * last.share_high_quality:.1f} %"


def test_settings_are_told_in_the_command_lines_words():
    assert settings_of("vanilla") == (
        "tanh 128, 128; latent 256; lr 0.001; critic-lr 0.0001; batch 512; average 0; constant rates"
    )
    assert "penalty r1:weight=" in settings_of("RpGAN+R1+R2")


@pytest.mark.parametrize("bad", ["", "a", "1-", "-1"])
def test_seeds_that_are_none_are_refused(bad):
    with pytest.raises(ValueError, match="--seeds"):
        seeds_of(bad)


@pytest.mark.slow
def test_a_remedy_covers_the_ring():
    """About half a minute: a tuning seed, at the length of `zerosum lab ring`."""
    last = trial("RpGAN+R1+R2", 101, LOOK).found[-1]
    assert last.hit == 8
    assert last.share_high_quality > 0.8
    assert last.kl < 0.01
