"""Alone, every collective is the identity, and differentiable; two processes are tested with training."""

import pytest
import torch
from torch import nn

from zerosum import processes


def test_one_process_is_rank_zero_with_the_whole_batch():
    assert processes.count() == 1
    assert processes.rank() == 0
    assert processes.share_of(7) == range(0, 7)


@pytest.mark.parametrize("total", [1, 3, 64, 65])
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_shares_cover_the_batch_in_order_and_evenly(total, n, monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: n)
    shares = []
    for r in range(n):
        monkeypatch.setattr(processes, "rank", lambda r=r: r)
        shares.append(processes.share_of(total))
    assert [i for share in shares for i in share] == list(range(total))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_sums_and_gathers_are_the_identity():
    x = torch.randn(3, 2)
    assert torch.equal(processes.all_reduce(x.clone()), x)
    assert torch.equal(processes.average(x, 1.0), x)
    assert torch.equal(processes.gather(x), x)
    assert processes.any_of(True)
    assert not processes.any_of(False)


@pytest.mark.parametrize("collective", [processes.gather, lambda x: processes.average(x, 0.5)])
def test_they_are_differentiable_twice(collective):
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(collective, x)
    assert torch.autograd.gradgradcheck(lambda x: collective(x).pow(3), x)


def test_shared_batch_norm_alone_is_batch_norm():
    plain = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    shared = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    shared.load_state_dict(plain.state_dict())
    assert processes.share_batch_norm(shared) is shared
    assert list(shared.state_dict()) == list(plain.state_dict())
    x = torch.randn(4, 2, 8, 8)
    assert torch.equal(shared(x), plain(x))
    for a, b in zip(shared.state_dict().values(), plain.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(shared.eval()(x), plain.eval()(x))


@pytest.mark.parametrize("momentum", [0.1, None])
def test_shared_batch_norms_own_sums_are_batch_norm_too(momentum, monkeypatch):
    # Pretend to be two processes of which the other has nothing: sums over both are this one's own.
    plain, shared = (nn.BatchNorm2d(3, momentum=momentum).double() for _ in range(2))
    processes.share_batch_norm(shared)
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(processes.dist, "all_reduce", lambda x: None)
    for _ in range(2):
        x = torch.randn(4, 3, 5, 5, dtype=torch.float64, requires_grad=True)
        upstream = torch.randn_like(x)
        torch.testing.assert_close(shared(x), plain(x))
        (mine,) = torch.autograd.grad(shared(x), x, upstream)
        (theirs,) = torch.autograd.grad(plain(x), x, upstream)
        torch.testing.assert_close(mine, theirs)
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(shared.state_dict()[name], tensor, msg=name)


def test_batch_norm_of_a_wrong_shape_is_refused(monkeypatch):
    norm = nn.Sequential(nn.BatchNorm1d(3))
    processes.share_batch_norm(norm)
    with pytest.raises(ValueError, match="batch norm needs"):
        norm(torch.zeros(3))
