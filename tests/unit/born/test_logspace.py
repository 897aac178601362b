import math

import pytest
import torch

from bmtune.born.logspace import log_abs2
from bmtune.born.logspace import rescale


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128])
@pytest.mark.parametrize("count", [1, 37])
def test_a_square_under_the_range_of_the_type_has_its_logarithm(dtype, count):
    # 37 numbers take the vectorised kernel, 1 the plain one.
    value = torch.full((count,), 1e-30, dtype=torch.float64).to(dtype)
    torch.testing.assert_close(
        log_abs2(value).double(), torch.full((count,), -60 * math.log(10)).double(), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_magnitudes_do_not_underflow_in_either_part(dtype):
    value = torch.full((37,), 3e-30 - 4e-30j, dtype=torch.complex128).to(dtype)
    expected = torch.full((37,), 2 * math.log(5e-30), dtype=torch.float64)
    torch.testing.assert_close(log_abs2(value).double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128])
def test_zero_is_minus_infinity_with_gradient_zero(dtype):
    value = torch.tensor([0.0, 2.0], dtype=dtype, requires_grad=True)
    found = log_abs2(value)
    assert not found.is_complex()
    assert found[0] == -math.inf
    (slope,) = torch.autograd.grad(found[1] + found[0].clamp(min=-1), value)
    torch.testing.assert_close(slope, torch.tensor([0.0, 1.0], dtype=dtype))
    (at_zero,) = torch.autograd.grad(log_abs2(value)[0], value)
    assert torch.equal(at_zero, torch.zeros_like(value))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_gradient_equals_finite_differences(dtype):
    value = torch.randn(6, dtype=dtype, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(log_abs2, value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_the_gradient_is_right_where_the_square_underflows(dtype):
    value = torch.full((37,), 1e-30, dtype=dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(log_abs2(value).sum(), value)
    torch.testing.assert_close(slope, torch.full_like(value, 2e30), rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_rescaling_gives_the_vector_back(dtype):
    vector = torch.randn(2, 5, 7, dtype=dtype, generator=torch.Generator().manual_seed(0)) * 1e-20
    scaled, log_divisor = rescale(vector, (1,))
    assert log_divisor.shape == (2, 1, 7)
    torch.testing.assert_close(scaled.abs().amax(1), torch.ones(2, 7))
    torch.testing.assert_close(scaled * log_divisor.exp(), vector, rtol=1e-4, atol=0)


def test_a_zero_vector_stays_zero_at_scale_one():
    scaled, log_divisor = rescale(torch.zeros(3, 2), (0,))
    assert torch.equal(scaled, torch.zeros(3, 2))
    assert torch.equal(log_divisor, torch.zeros(1, 2))
