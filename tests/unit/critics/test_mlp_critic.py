import pytest
import torch

from bmtune.config.critic import CriticConfig
from bmtune.critics import CriticShape
from bmtune.critics import critic_scores
from bmtune.critics import start_critic
from bmtune.objectives import critic_wasserstein
from bmtune.objectives import gradient_penalty


def shape_of(head="aware", num_features=3, num_classes=4, interval=(-1.0, 1.0), **fields):
    config = CriticConfig(head=head, **{"min_width": 5, "width_multipliers": (2.0, 3.5), **fields})
    return CriticShape.from_config(config, num_features, num_classes, interval)


def rows_of(shape, num_rows=6, num_classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(num_rows, num_classes, shape.widths[0], dtype=torch.float64, generator=generator) * 2 - 1


def test_widths_follow_the_features_and_the_head():
    assert shape_of().widths == (3, 6, 10, 4)
    assert shape_of("agnostic").widths == (3, 6, 10, 1)
    assert shape_of(min_width=64).widths == (3, 64, 64, 4)


@pytest.mark.parametrize("head", ["aware", "agnostic"])
def test_scores_equal_the_layers_written_out(head):
    shape = shape_of(head, interval=(0.0, 1.0))
    tensors = [torch.randn_like(t) for t in start_critic(shape, 0, torch.float64)]
    rows = (rows_of(shape) + 1) / 2
    hidden = 2 * rows - 1
    for weight, bias in zip(tensors[:-2:2], tensors[1:-2:2], strict=True):
        hidden = hidden @ weight.T + bias
        hidden = torch.where(hidden > 0, hidden, 0.2 * hidden)
    outputs = hidden @ tensors[-2].T + tensors[-1]
    found = critic_scores(shape, tuple(tensors), rows)
    assert found.shape == (6, 4)
    for label in range(4):
        expected = outputs[:, label, label if head == "aware" else 0]
        torch.testing.assert_close(found[:, label], expected, rtol=1e-12, atol=1e-12)


def test_an_aware_critic_reads_only_the_output_of_a_rows_own_class():
    shape = shape_of()
    tensors = start_critic(shape, 0, torch.float64)
    rows = rows_of(shape)
    before = critic_scores(shape, tensors, rows)
    bias = tensors[-1].clone()
    bias[2] += 1
    after = critic_scores(shape, (*tensors[:-1], bias), rows)
    moved = torch.tensor([0.0, 0.0, 1.0, 0.0], dtype=torch.float64).expand(6, 4)
    torch.testing.assert_close(after - before, moved)
    same = rows[:, :1].expand(-1, 4, -1)
    scores = critic_scores(shape, tensors, same)
    assert not torch.allclose(scores[:, 0], scores[:, 1])


def test_an_agnostic_critic_ignores_the_class():
    shape = shape_of("agnostic")
    tensors, rows = start_critic(shape, 0, torch.float64), rows_of(shape)
    order = [2, 0, 3, 1]
    torch.testing.assert_close(
        critic_scores(shape, tensors, rows[:, order]), critic_scores(shape, tensors, rows)[:, order]
    )


def test_rows_do_not_see_one_another():
    shape = shape_of()
    tensors, rows = start_critic(shape, 0, torch.float64), rows_of(shape)
    torch.testing.assert_close(critic_scores(shape, tensors, rows[2:3]), critic_scores(shape, tensors, rows)[2:3])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_seed_decides_the_start_and_the_global_generator_has_no_part_in_it(dtype):
    shape, before = shape_of(), torch.random.get_rng_state()
    first, again, other = (start_critic(shape, seed, dtype) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert {tensor.dtype for tensor in first} == {dtype}
    assert all(torch.count_nonzero(bias) == 0 for bias in first[1::2])


def test_the_start_keeps_the_size_of_signals():
    shape = shape_of(num_features=400, width_multipliers=(1.0, 1.0, 1.0))
    tensors = start_critic(shape, 0, torch.float64)
    hidden = torch.randn(200, 400, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for weight in tensors[:-2:2]:
        hidden = torch.nn.functional.leaky_relu(hidden @ weight.T, 0.2)
    # He's gain keeps the mean square; with 400 units a layer it wanders by a few per cent.
    assert hidden.square().mean().item() == pytest.approx(1, rel=0.25)


@pytest.mark.parametrize("head", ["aware", "agnostic"])
def test_both_backward_passes_of_a_penalised_critic_are_finite(head):
    shape = shape_of(head)
    leaves = tuple(t.requires_grad_() for t in start_critic(shape, 0, torch.float64))
    real, generated = rows_of(shape), rows_of(shape, seed=1)

    def score(rows):
        return critic_scores(shape, leaves, rows)

    penalty = gradient_penalty(score, real, generated, torch.rand(6, 4, 1, dtype=torch.float64))
    loss = critic_wasserstein(score(real), score(generated)) + 10 * penalty
    slopes = torch.autograd.grad(loss, leaves)
    assert loss.isfinite()
    assert all(slope.isfinite().all() for slope in slopes)
    assert all(slope.abs().sum() > 0 for slope in slopes[::2])
