import pytest
import torch

from bmtune.config.optimizer import OptimizerConfig
from bmtune.training.optimizers import start_optimizer
from bmtune.training.optimizers import update

TORCH = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
SHAPES = [(3, 4), (0, 5), (2,), (1, 2, 3)]


def start(dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, dtype=dtype, generator=generator) for shape in SHAPES]


def theirs(config, dtype):
    leaves = [tensor.clone().requires_grad_() for tensor in start(dtype, 0)]
    options = {} if config.name == "sgd" else {"betas": config.betas}
    optimizer = TORCH[config.name](leaves, lr=config.lr, weight_decay=config.weight_decay, **options)
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + config.lr_decay * step))
    trace = []
    for step in range(20):
        for leaf, grad in zip(leaves, start(dtype, 100 + step), strict=True):
            leaf.grad = grad
        optimizer.step()
        falling.step()
        trace.append([leaf.detach().clone() for leaf in leaves])
    return trace


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.99), (0.0, 0.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128])
@pytest.mark.parametrize("lr_decay", [0.0, 0.2])
def test_twenty_steps_equal_those_of_torch(name, weight_decay, betas, dtype, lr_decay):
    config = OptimizerConfig(name=name, lr=0.03, weight_decay=weight_decay, betas=betas, lr_decay=lr_decay)
    params = tuple(start(dtype, 0))
    state = start_optimizer(config, params)
    close = (
        {"rtol": 2e-5, "atol": 2e-6} if dtype in (torch.float32, torch.complex64) else {"rtol": 1e-12, "atol": 1e-13}
    )
    for step, expected in enumerate(theirs(config, dtype)):
        params, state = update(config, params, tuple(start(dtype, 100 + step)), state)
        assert state.step == step + 1
        for found, wanted in zip(params, expected, strict=True):
            torch.testing.assert_close(found, wanted, **close)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_an_update_leaves_its_arguments_as_they_were(name, dtype):
    config = OptimizerConfig(name=name, lr=0.03, weight_decay=0.1)
    params, grads = tuple(start(dtype, 0)), tuple(start(dtype, 1))
    _, state = update(config, params, grads, start_optimizer(config, params))
    before = [tensor.clone() for tensor in (*params, *grads, *state.first, *state.second)]
    moved, _ = update(config, params, grads, state)
    after = (*params, *grads, *state.first, *state.second)
    assert all(torch.equal(x, y) for x, y in zip(before, after, strict=True))
    assert not torch.equal(moved[0], params[0])


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_a_lazily_conjugated_gradient_is_taken_at_its_value(name):
    config = OptimizerConfig(name=name)
    params, grads = tuple(start(torch.complex128, 0)), start(torch.complex128, 1)
    state = start_optimizer(config, params)
    lazy, _ = update(config, params, tuple(grad.conj() for grad in grads), state)
    plain, _ = update(config, params, tuple(grad.conj().resolve_conj() for grad in grads), state)
    assert all(torch.equal(x, y) for x, y in zip(lazy, plain, strict=True))


def test_a_gradient_of_zero_moves_nothing_under_any_optimizer():
    for name in TORCH:
        config = OptimizerConfig(name=name)
        params = tuple(start(torch.float64, 0))
        zeros = tuple(torch.zeros_like(param) for param in params)
        state = start_optimizer(config, params)
        for _ in range(3):
            moved, state = update(config, params, zeros, state)
            assert all(torch.equal(x, y) for x, y in zip(moved, params, strict=True))
