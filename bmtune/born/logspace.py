"""Logarithms of quantities that may be zero or under the range of their number type."""

from torch import Tensor


def log_abs2(amplitude: Tensor) -> Tensor:
    """log |z|^2, elementwise; real for complex z.

    Domain: every finite z. At z = 0 the value is -inf and the gradient 0, where the naive
    `log(z * z)` has gradient 0 / 0: a class of weight zero has no say in p(c|x). It also does not
    underflow where z * z does.
    """
    magnitude = amplitude.abs()
    zero = magnitude == 0
    return (2 * magnitude.masked_fill(zero, 1.0).log()).masked_fill(zero, float("-inf"))


def rescale(vector: Tensor, dim: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The vector divided by its largest magnitude over `dim`, and the log of that divisor (axes kept).

    Domain: every finite vector; one that is zero everywhere keeps divisor 1. The divisor is
    detached: it is divided out and its log added back, so the gradient needs no path through it.
    """
    divisor = largest(vector, dim)
    return vector / divisor, divisor.log()


def largest(vector: Tensor, dim: tuple[int, ...]) -> Tensor:
    """The largest magnitude over `dim` (axes kept), detached; 1 where the vector is zero everywhere."""
    found = vector.detach().abs().amax(dim, keepdim=True)
    return found.masked_fill(found == 0, 1.0)
