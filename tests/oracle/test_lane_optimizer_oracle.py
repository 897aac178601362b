"""An update of several trials is an update by `torch.optim` of each."""

import pytest
import torch

from bmtune.config.optimizer import OptimizerConfig
from bmtune.packing.optimizers import Rates
from bmtune.packing.optimizers import update_lanes
from bmtune.training.optimizers import OptimizerState

TORCH = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
SHAPES = [(3, 4), (0, 5), (2,), (1, 2, 3)]
LANES = 3
STEPS = 12


def draws(dtype, seed):
    """Tensors with a leading axis over trials."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn((LANES, *shape), dtype=dtype, generator=generator) for shape in SHAPES)


def configs(name, *, decays):
    """Rates that all differ; without `decays` no trial has a weight decay."""
    return [
        OptimizerConfig(
            name=name,
            lr=0.01 * (1 + lane),
            lr_decay=0.1 * lane,
            weight_decay=0.1 * lane if decays else 0.0,
            betas=(0.9 - 0.4 * lane, 0.99 - 0.1 * lane),
        )
        for lane in range(LANES)
    ]


def theirs(config, lane, dtype):
    leaves = [tensor[lane].clone().requires_grad_() for tensor in draws(dtype, 0)]
    options = {} if config.name == "sgd" else {"betas": config.betas}
    optimizer = TORCH[config.name](leaves, lr=config.lr, weight_decay=config.weight_decay, **options)
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + config.lr_decay * step))
    for step in range(STEPS):
        for leaf, grad in zip(leaves, draws(dtype, 100 + step), strict=True):
            leaf.grad = grad[lane].clone()
        optimizer.step()
        falling.step()
    return [leaf.detach() for leaf in leaves]


def begun(name, params, *, done=(0,) * LANES):
    """The state of trials that have done so many updates, all with running means of zero."""
    if name == "sgd":
        return OptimizerState(torch.tensor(done), (), ())
    reals = [torch.view_as_real(param) if param.is_complex() else param for param in params if param.numel()]
    zeros = tuple(torch.zeros_like(real) for real in reals)
    return OptimizerState(torch.tensor(done), zeros, tuple(zero.clone() for zero in zeros))


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("decays", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128])
def test_every_trial_moves_as_torch_moves_it(name, decays, dtype):
    rates = Rates.of(configs(name, decays=decays))
    params = draws(dtype, 0)
    state = begun(name, params)
    for step in range(STEPS):
        params, state = update_lanes(rates, params, draws(dtype, 100 + step), state)
    assert state.step.tolist() == [STEPS] * LANES
    single = dtype in (torch.float32, torch.complex64)
    # The same formula in another order of operations: a few last bits a step.
    close = {"rtol": 2e-5, "atol": 2e-6} if single else {"rtol": 1e-12, "atol": 1e-13}
    for lane, config in enumerate(configs(name, decays=decays)):
        for found, wanted in zip(params, theirs(config, lane, dtype), strict=True):
            torch.testing.assert_close(found[lane], wanted, **close)


@pytest.mark.parametrize("name", TORCH)
def test_trials_that_have_done_different_numbers_of_updates_count_each_their_own(name):
    rates, grads = Rates.of(configs(name, decays=True)), draws(torch.float64, 1)

    def moved(*done):
        # Trials are moved in place: every call has tensors of its own.
        params = draws(torch.float64, 0)
        return update_lanes(rates, params, grads, begun(name, params, done=done))

    together, state = moved(0, 3, 40)
    assert state.step.tolist() == [1, 4, 41]
    for lane, done in enumerate((0, 3, 40)):
        alone, _ = moved(done, done, done)
        assert all(torch.equal(one[lane], other[lane]) for one, other in zip(together, alone, strict=True))
    assert not torch.equal(together[0][1], moved(0, 0, 0)[0][0][1])


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_zeros_with_a_gradient_of_zero_stay_exactly_zero_and_gradients_are_left_alone(name, dtype):
    rates = Rates.of(configs(name, decays=True))
    params, grads = draws(dtype, 0), draws(dtype, 1)
    for tensor in (*params, *grads):
        tensor[..., -1:] = 0
    before = [tensor.clone() for tensor in (*params, *grads)]
    state = begun(name, params)
    for _ in range(3):
        params, state = update_lanes(rates, params, grads, state)
    assert all(torch.count_nonzero(tensor[..., -1:]) == 0 for tensor in params)
    assert all(torch.equal(x, y) for x, y in zip(before[len(params) :], grads, strict=True))
    assert not torch.equal(before[0], params[0])


@pytest.mark.parametrize("name", TORCH)
def test_a_gradient_that_is_not_a_number_moves_no_other_trial(name):
    rates = Rates.of(configs(name, decays=True))

    def moved(grads):
        params = draws(torch.float32, 0)
        return update_lanes(rates, params, grads, begun(name, params))[0]

    grads = draws(torch.float32, 1)
    sane = moved(grads)
    for grad in grads:
        grad[1] = torch.nan
    sick = moved(grads)
    for one, other in zip(sane, sick, strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[2], other[2])
    assert bool(sick[0][1].isnan().all())
    assert bool(sane[0].isfinite().all())
