import pytest
import tensorkrowch
import torch

from bmtune.born import BornMachine
from bmtune.config.born import BornConfig

CONFIG = BornConfig(physical_dim=4, bond_dim=3, init_std=0.3, dtype="float64")


def of_layer(model, born, x):
    features = born.chain.embedding.values(x, born.chain.physical_dim, -1).to(born.chain.dtype)
    # Site by site: stacking sites of unequal bonds makes tensorkrowch index in a way that torch warns about.
    return model(features, inline_input=True, inline_mats=True).abs().square().log()


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("embedding", ["fourier", "legendre"])
@pytest.mark.parametrize("num_sites", [2, 3, 4, 5])
def test_a_machine_sent_out_computes_the_same(machine, rows, dtype, embedding, num_sites):
    born = machine(num_sites=num_sites, num_classes=3, dtype=dtype, embedding=embedding)
    x = rows(born, 6)
    model = born.to_tensorkrowch()
    assert model.out_position == (num_sites + 1) // 2
    torch.testing.assert_close(of_layer(model, born, x), born.log_weights(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", ["MPSLayer", "MPS"])
@pytest.mark.parametrize("num_sites", [1, 2, 3, 6])
def test_out_and_back_is_the_same_machine(machine, kind, num_sites):
    born = machine(num_sites=num_sites, num_classes=4)
    model = born.to_tensorkrowch(kind)
    assert type(model) is getattr(tensorkrowch.models, kind)
    back = BornMachine.from_tensorkrowch(model, CONFIG)
    assert back.chain == born.chain
    assert all(torch.equal(x, y) for x, y in zip(back.cores, born.cores, strict=True))


def test_what_is_sent_out_shares_no_memory(machine):
    born = machine()
    before = [tensor.clone() for tensor in born.cores]
    model = born.to_tensorkrowch()
    with torch.no_grad():
        for tensor in model.tensors:
            tensor.zero_()
    assert all(torch.equal(x, y) for x, y in zip(before, born.cores, strict=True))
    assert torch.count_nonzero(born.cores.edge) > 0


@pytest.mark.parametrize("bonds", [[2, 3, 4, 2, 5], [4, 1, 1, 7, 2]])
def test_a_model_with_unequal_bonds_computes_the_same(rows, bonds):
    generator, sizes = torch.Generator().manual_seed(0), (4, 4, 4, 3, 4, 4)
    shapes = list(zip([0, *bonds], sizes, [*bonds, 0], strict=True))
    shapes = [shapes[0][1:], *shapes[1:-1], shapes[-1][:-1]]
    tensors = [torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes]
    model = tensorkrowch.models.MPSLayer(tensors=tensors)
    born = BornMachine.from_tensorkrowch(model, CONFIG)
    assert born.cores.bond_dim == max(bonds)
    assert (born.chain.num_sites, born.chain.num_classes) == (5, 3)
    x = rows(born, 6)
    torch.testing.assert_close(of_layer(model, born, x), born.log_weights(x), rtol=1e-10, atol=1e-10)


def test_a_class_site_elsewhere_is_refused_with_the_place_it_belongs():
    model = tensorkrowch.models.MPSLayer(n_features=6, in_dim=4, out_dim=3, bond_dim=2, out_position=1)
    with pytest.raises(ValueError, match="class site at 3.*out_position 1.*out_position=3"):
        BornMachine.from_tensorkrowch(model, CONFIG)


@pytest.mark.parametrize("kind", ["MPSLayer", "MPS"])
def test_a_periodic_boundary_is_refused(kind):
    shape = {"in_dim": 4, "out_dim": 3} if kind == "MPSLayer" else {"phys_dim": [4, 4, 4, 3, 4, 4]}
    model = getattr(tensorkrowch.models, kind)(n_features=6, bond_dim=2, boundary="pbc", **shape)
    with pytest.raises(ValueError, match="open boundary.*'pbc'"):
        BornMachine.from_tensorkrowch(model, CONFIG)


def test_another_physical_dimension_is_refused(machine):
    with pytest.raises(ValueError, match="physical_dim=5 for a model of 4"):
        BornMachine.from_tensorkrowch(machine().to_tensorkrowch(), BornConfig(physical_dim=5, dtype="float64"))


def test_a_complex_model_is_not_silently_cut_to_its_real_part(machine):
    model = machine(dtype="complex128").to_tensorkrowch()
    with pytest.raises(ValueError, match="float64"):
        BornMachine.from_tensorkrowch(model, CONFIG)


def test_sites_of_different_physical_dimensions_are_refused():
    model = tensorkrowch.models.MPS(n_features=6, phys_dim=[4, 4, 3, 4, 4, 4], bond_dim=2)
    with pytest.raises(ValueError, match="physical"):
        BornMachine.from_tensorkrowch(model, CONFIG)
