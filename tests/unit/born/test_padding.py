import pytest
import torch
from torch.nn.functional import pad

from bmtune.born import BornMachine
from bmtune.born import Cores


def padded(cores, extra):
    right = extra if cores.edge.shape[0] == 2 else 0
    return Cores(
        pad(cores.edge, (0, 0, 0, extra)),
        pad(cores.odd, (0, extra, 0, 0, 0, extra)),
        pad(cores.bulk, (0, extra, 0, 0, 0, extra)),
        pad(cores.centre, (0, right, 0, extra)),
    )


CASES = pytest.mark.parametrize(
    ("num_sites", "dtype"), [(1, "float64"), (2, "complex128"), (3, "float64"), (6, "complex128"), (7, "float64")]
)


@CASES
def test_a_larger_bond_of_zeros_changes_no_number(machine, rows, num_sites, dtype):
    small = machine(num_sites=num_sites, num_classes=3, dtype=dtype)
    large = BornMachine(small.chain, padded(small.cores, 4))
    assert large.cores.bond_dim == 7
    x = rows(small, 12)
    torch.testing.assert_close(large.log_weights(x), small.log_weights(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(large.log_class_partitions(), small.log_class_partitions(), rtol=1e-12, atol=1e-12)
    drawn, same = (born.sample(20, torch.Generator().manual_seed(0), num_bins=20) for born in (large, small))
    torch.testing.assert_close(drawn, same, rtol=0, atol=1e-10)


@CASES
def test_zero_blocks_have_an_exactly_zero_gradient(machine, rows, num_sites, dtype):
    small = machine(num_sites=num_sites, num_classes=3, dtype=dtype)
    leaves = Cores(*(tensor.requires_grad_() for tensor in padded(small.cores, 4)))
    large = BornMachine(small.chain, leaves)
    weights, x = torch.linspace(0.5, 2, 3, dtype=torch.float64), rows(small, 12)
    losses = {
        "log weights": (large.log_weights(x) * weights).sum(),
        "log partitions": (large.log_class_partitions() * weights).sum(),
        "samples": (
            large.sample(20, torch.Generator().manual_seed(0), num_bins=20).square().sum((0, 2)) * weights
        ).sum(),
    }
    block = padded(Cores(*(torch.ones_like(tensor) for tensor in small.cores)), 4)
    for name, loss in losses.items():
        slopes = torch.autograd.grad(loss, leaves, retain_graph=True, materialize_grads=True)
        for slope, inside in zip(slopes, block, strict=True):
            assert torch.equal(slope * (1 - inside), torch.zeros_like(slope)), name
            assert not slope.numel() or slope.abs().sum() > 0, name
