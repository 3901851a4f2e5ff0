"""The loop: what is refused, what stops it, and what it must not leave behind."""

import gc
import threading
from collections.abc import Generator, Mapping
from typing import Any

import psutil
import pytest
import torch
from torch import Tensor, nn

from tests import small
from zerosum.games.game import Batch, Clock, Game, Terms, Turn
from zerosum.training.gradients import NonFiniteError
from zerosum.training.loop import Moment, train
from zerosum.training.state import Average, State

NAN, INF = float("nan"), float("inf")


class Line(Game):
    """One player, one weight, a loss that a test chooses: mean of `loss(w, x)` over the batch."""

    def __init__(self, loss: Any = None, take: int | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.loss = loss or (lambda w, x: (x.flatten(1).mean(1) - w.sum()).square())
        self.take = take

    def turns(self, clock: Clock) -> Generator[Turn, Mapping[str, Tensor], None]:
        def terms(batch: Batch) -> Terms:
            return Terms({"fit": self.loss(self.weight, batch.data["real"])})

        yield Turn("player", terms, take=self.take, splits=True)


def solo(game: Line, lr: float = 0.01) -> dict[str, torch.optim.Optimizer]:
    return {"player": torch.optim.SGD(game.parameters(), lr=lr)}


class Spoilt:
    """A source whose batch at one cursor holds a bad number."""

    def __init__(self, cursor: int, value: float) -> None:
        self.inner, self.cursor, self.value, self.size = small.source(), cursor, value, 24

    def __call__(self, cursor: int, ids: Tensor) -> Mapping[str, Tensor]:
        batch = dict(self.inner(cursor, ids))
        if cursor == self.cursor:
            batch["real"][3, 0, 2, 2] = self.value
        return batch


# --- numbers that are not finite --------------------------------------------------------------------


@pytest.mark.parametrize("value", [NAN, INF])
def test_a_bad_input_is_named_with_its_step_and_the_step_is_not_made(value: float) -> None:
    made = small.system()
    state = small.state(made)
    small.play(made, small.source(), state, 16)
    before = {k: v for k, v in small.everything(made, state).items() if "layers.1" not in k}
    weights = {name: p.clone() for name, p in made.game.named_parameters()}
    word = "NaN" if value != value else "infinite"
    with pytest.raises(
        NonFiniteError, match=rf"step 2 \(16 images\), the critic's turn: the input 'real' is {word}"
    ):
        small.play(made, Spoilt(16, value), state, 64)
    assert all(torch.equal(weights[name], p) for name, p in made.game.named_parameters())
    assert state.clock == before["clock"] == (2, 16)


@pytest.mark.parametrize("player", ["critic", "generator"])
def test_a_bad_weight_is_named(player: str) -> None:
    made = small.system()
    state = small.state(made)
    small.play(made, small.source(), state, 8)
    name, weight = list(made.game.get_submodule(player).named_parameters())[-1]
    weight.data.flatten()[0] = NAN
    with pytest.raises(NonFiniteError, match=rf"step 1 .*: the weight '{player}\.{name}.*' is NaN"):
        small.play(made, small.source(), state, 64)


def test_a_bad_loss_term_is_named() -> None:
    game = Line(lambda w, x: (w.sum() - x.flatten(1).mean(1)) / 0 * (1 if len(x) else 0))
    with pytest.raises(NonFiniteError, match=r"step 0 .* the player's turn: the loss term 'fit' is"):
        train(game, small.source(), solo(game), State(), 8, batch=8)


def test_a_bad_gradient_is_named_though_the_loss_is_finite() -> None:
    game = Line(lambda w, x: (w - 1).square().sum().sqrt() + 0 * x.flatten(1).mean(1))  # √ at 0
    with pytest.raises(NonFiniteError, match=r"step 0 .* the gradient of 'weight' is NaN"):
        train(game, small.source(), solo(game), State(), 8, batch=8)
    assert game.weight.tolist() == [1, 1, 1]


def test_a_gradient_too_large_for_its_norm_is_told() -> None:
    game = Line(lambda w, x: (w * 1e20).sum() * 3e18 + 0 * x.flatten(1).mean(1))
    game.weight.data.fill_(1e-3)
    with pytest.raises(NonFiniteError, match="the gradient of 'player' is too large for float32"):
        train(game, small.source(), solo(game), State(), 8, batch=8)


def test_the_same_place_fails_again_after_a_resume() -> None:
    seen = []
    for _ in range(2):
        made = small.system()
        state = small.state(made)
        with pytest.raises(NonFiniteError) as caught:
            small.play(made, Spoilt(40, NAN), state, 64)
        seen.append((str(caught.value), state.clock))
    assert seen[0] == seen[1]
    assert seen[0][1] == (5, 40)


# --- fp16 -------------------------------------------------------------------------------------------


def test_an_overflow_in_fp16_skips_the_step_and_halves_the_scale() -> None:
    made = small.system()
    state = small.state(made)
    state.scalers = {player: torch.amp.GradScaler("cpu", init_scale=2.0**127) for player in made.optimisers}
    before = {name: p.clone() for name, p in made.game.named_parameters()}
    heard: list[Mapping[str, float]] = []
    small.play(made, small.source(), state, 8, (lambda moment: heard.append(moment.seen),), precision="fp16")
    assert not torch.isfinite(torch.tensor(heard[0]["critic/gradient"]))
    assert all(torch.equal(before[name], p) for name, p in made.game.named_parameters())
    assert {s.get_scale() for s in state.scalers.values()} == {2.0**126}
    small.play(made, small.source(), state, 8 * 130, precision="fp16")
    assert not torch.equal(before["critic.judge.weight"], made.game.get_parameter("critic.judge.weight"))
    assert state.scalers["critic"] is not state.scalers["generator"]


def test_a_loss_that_overflows_fp16_for_good_stops_the_run() -> None:
    game = Line(lambda w, x: (w - 1).square().sum().sqrt() + 0 * x.flatten(1).mean(1))  # its gradient is NaN
    with pytest.raises(NonFiniteError, match="the gradient of 'weight' is NaN"):
        train(game, small.source(), solo(game), State(), 8 * 200, batch=8, precision="fp16")
    assert game.weight.tolist() == [1, 1, 1]


# --- the average ------------------------------------------------------------------------------------


def test_the_average_is_its_closed_form_buffers_included_before_and_after_a_resume(tmp_path: Any) -> None:
    from zerosum.training.checkpoint import read, restore, write

    made = small.system(average=0.6)
    state = small.state(made)
    generator = made.game.get_submodule("generator")
    history = [{k: v.double().clone() for k, v in generator.state_dict().items()}]

    def note(moment: Moment) -> None:
        now = moment.game.get_submodule("generator").state_dict()
        history.append({k: v.double().clone() for k, v in now.items()})

    small.play(made, small.source(), state, 64, (note,))
    write(tmp_path / "a.safetensors", made.game, made.optimisers, state)
    made = small.system(seed=9, average=0.6)
    state = small.state(made)
    restore(read(tmp_path / "a.safetensors"), made.game, made.optimisers, state)
    small.play(made, small.source(), state, 160, (note,))
    assert len(history) == 21
    # The mean of the history with weights (1−d_t) Π_{s>t} d_s, the start having Π d_s.
    decays = [min(0.6, (1 + t) / (10 + t)) for t in range(20)]
    assert decays[0] == 0.1
    assert decays[-1] == 0.6
    for name, value in state.averages["generator"].module.state_dict().items():
        if not value.is_floating_point():
            assert torch.equal(value.double(), history[-1][name])
            continue
        expected, rest = torch.zeros_like(history[0][name]), 1.0
        for t in reversed(range(20)):
            expected += rest * (1 - decays[t]) * history[t + 1][name]
            rest *= decays[t]
        expected += rest * history[0][name]
        assert torch.allclose(value.double(), expected, rtol=1e-5, atol=1e-6), name
        if "running" in name:
            assert not torch.allclose(value.double(), history[-1][name], rtol=1e-3), name


@pytest.mark.parametrize("decay", [-0.1, 1.0, NAN])
def test_an_impossible_decay_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match="decay must be at least 0 and below 1"):
        Average(nn.Linear(1, 1), decay)


# --- settings ---------------------------------------------------------------------------------------


def test_settings_that_cannot_work_are_refused_with_the_remedy() -> None:
    made = small.system()
    state = small.state(made)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"batch": 0}, "--batch 0 leaves some of 1 processes without a sample"),
        ({"micro": 0}, "--micro must be at least 1"),
        ({"micro": 4}, "the critic's turn mixes the samples of its batch .* --ghost"),
        ({"schedules": {"G": lambda clock: {}}}, "a schedule for 'G', but the optimisers are"),
    ]
    for settings, message in cases:
        with pytest.raises(ValueError, match=message):
            small.play(made, small.source(), state, 64, **settings)
    assert state.clock == Clock()
    game = Line()
    with pytest.raises(ValueError, match="no optimiser for player 'player'; there are other"):
        train(game, small.source(), {"other": solo(game)["player"]}, State(), 8)
    with pytest.raises(ValueError, match="Line: a step showed no real images"):
        train(Idle(), small.source(), solo(Line()), State(), 8)
    for term, message in ((torch.ones(2, 2), r"must be \[b\] or 0-d, not \(2, 2\)"),):
        bad = Line(lambda w, x, term=term: term * w[0])
        with pytest.raises(ValueError, match=message):
            train(bad, small.source(), solo(bad), State(), 8, batch=2)


class Idle(Line):
    def turns(self, clock: Clock) -> Generator[Turn, Mapping[str, Tensor], None]:
        yield from ()


Idle.__name__ = "Line"


def test_memory_that_runs_out_comes_with_advice() -> None:
    def loss(w: Tensor, x: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB\nmore")

    game = Line(loss)
    with pytest.raises(
        MemoryError, match=r"with 8 samples at once: try --micro 4 .*Tried to allocate 9 GiB\)"
    ):
        train(game, small.source(), solo(game), State(), 8, batch=8)
    with pytest.raises(MemoryError, match="with 3 samples at once: try --micro 1"):
        train(game, small.source(), solo(game), State(), 8, batch=8, micro=3)
    other = Line(lambda w, x: 1 + w @ torch.ones(5))
    with pytest.raises(RuntimeError, match="size"):  # other errors stay what they were
        train(other, small.source(), solo(other), State(), 8, batch=8)


@pytest.mark.parametrize("micro", [1, 3, 8, 100])
@pytest.mark.parametrize("critic_norm", ["layer", "none"])
def test_micro_batches_are_the_whole_exactly(micro: int, critic_norm: str) -> None:
    def double(part: int | None) -> dict[str, Any]:
        penalty = ("r1:weight=1,every=2", "wgan-gp:weight=1")
        made = small.system(norm="none", critic_norm=critic_norm, penalty=penalty, latent_law="normal")
        made.game.double()
        made.game.get_submodule("generator").register_forward_pre_hook(lambda _, z: (z[0].double(),))
        state = small.state(made)
        small.play(made, small.source(dtype=torch.float64), state, 24, micro=part)
        return small.everything(made, state)

    whole, parts = double(None), double(micro)
    for name, value in whole.items():
        if isinstance(value, Tensor):
            # Objectives compute in float32, and Adam divides by √v: hence not 1e-12.
            assert torch.allclose(value, parts[name], rtol=1e-4, atol=1e-7), name


def test_ghost_batch_norm_lets_parts_have_statistics_of_their_own() -> None:
    made = small.system()
    state = small.state(made)
    small.play(made, small.source(), state, 16, micro=4, ghost=True)
    assert state.clock == Clock(2, 16)


@pytest.mark.parametrize("clip", [0.5, 1e9])
def test_clipping_bounds_the_norm_of_each_gradient(clip: float) -> None:
    game = Line(lambda w, x: 100 * w.sum() + 0 * x.flatten(1).mean(1))
    train(game, small.source(), solo(game, lr=1.0), State(), 8, batch=8, clip=clip)
    assert float((game.weight.detach() - 1).norm()) == pytest.approx(min(clip, 100 * 3**0.5), rel=1e-5)


def test_a_schedule_is_read_before_each_step() -> None:
    game, rates = Line(), []
    optimisers = solo(game)
    schedule = {"player": lambda clock: {"lr": 0.5 / (1 + clock.step), "momentum": 0.1 * clock.step}}

    def hook(moment: Moment) -> None:
        group = moment.optimisers["player"].param_groups[0]
        rates.append((group["lr"], group["momentum"]))

    train(game, small.source(), optimisers, State(), 24, batch=8, schedules=schedule, hooks=[hook])
    assert rates == [(0.5, 0.0), (0.25, 0.1), (0.5 / 3, 0.2)]


def test_a_hook_that_says_so_ends_training_after_its_step_and_all_hooks_are_asked() -> None:
    game, asked = Line(), []
    state = train(
        game,
        small.source(),
        solo(game),
        State(),
        800,
        batch=8,
        hooks=[lambda moment: moment.clock.step == 2, lambda moment: asked.append(moment.clock.step)],
    )
    assert (state.clock, asked) == (Clock(2, 16), [1, 2])


def test_a_turn_that_takes_its_own_number_moves_the_clock_by_it() -> None:
    game = Line(take=5)
    source = small.source()
    state = train(game, source, solo(game), State(), 13, batch=8)
    assert state.clock == Clock(3, 15)
    assert len(set(source.shown)) == 15


def test_the_callers_random_stream_stays_as_it_was() -> None:
    made = small.system("gan")
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    small.play(made, small.source(), small.state(made), 16)
    assert torch.equal(torch.rand(3), expected)


def _held() -> tuple[int, int, int]:
    gc.collect()
    process = psutil.Process()
    return process.memory_info().rss, process.num_fds(), threading.active_count()


def _flat(steps: int) -> None:
    made = small.system("gan", hidden=(4,), critic_hidden=(4,), fakes="shared")
    state = small.state(made)
    data = small.source()
    small.play(made, data, state, 8 * 300)
    data.shown.clear()
    memory, files, threads = _held()
    small.play(made, data, state, 8 * (300 + steps))
    data.shown.clear()
    after = _held()
    assert after[1:] == (files, threads)
    assert after[0] - memory < 8 * 2**20


def test_memory_files_and_threads_stay_flat_over_2000_steps() -> None:
    _flat(2000)


@pytest.mark.slow
def test_memory_files_and_threads_stay_flat_over_20000_steps() -> None:
    _flat(20_000)
