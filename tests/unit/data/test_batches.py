import pytest
import torch

from bmtune.data import Loader
from bmtune.data import check_batch_size
from bmtune.data import class_batches
from bmtune.data import discrimination_batches
from bmtune.errors import DataError

Y = torch.tensor([0, 1, 1, 0, 1, 1, 0, 1, 0, 1])
X = torch.arange(10, dtype=torch.float64)[:, None].expand(-1, 2).contiguous()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_pass_holds_every_row_once_with_its_label():
    batches = list(class_batches(X, Y, 4, generator()))
    assert [len(x) for x, _ in batches] == [4, 4, 2]
    rows = torch.cat([x for x, _ in batches])[:, 0].long()
    assert sorted(rows.tolist()) == list(range(10))
    assert torch.equal(torch.cat([y for _, y in batches]), Y[rows])


def test_the_generator_decides_the_order():
    orders = [torch.cat([x for x, _ in class_batches(X, Y, 3, generator(seed))]) for seed in (0, 0, 1)]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    assert torch.equal(torch.cat([x for x, _ in class_batches(X, Y, 3, None)]), X)


@pytest.mark.parametrize(("num_per_class", "sizes"), [(1, [1, 1, 1, 1]), (2, [2, 2]), (3, [3]), (4, [4]), (64, [4])])
def test_the_rarest_class_decides_and_a_smaller_last_batch_stands_only_alone(num_per_class, sizes):
    batches = list(discrimination_batches(X, Y, 2, num_per_class, generator()))
    assert [tuple(batch.shape) for batch in batches] == [(size, 2, 2) for size in sizes]
    rows = torch.cat(batches)[:, :, 0].long()
    assert torch.equal(Y[rows], torch.tensor([0, 1]).expand(len(rows), -1))
    assert all(len(set(column.tolist())) == len(rows) for column in rows.T)


def test_classes_are_permuted_independently():
    x, y = torch.arange(6, dtype=torch.float64)[:, None], torch.tensor([0, 0, 0, 1, 1, 1])
    pairs = [next(discrimination_batches(x, y, 2, 1, generator(seed)))[0, :, 0].tolist() for seed in range(900)]
    counts = [pairs.count([first, second]) for first in (0.0, 1.0, 2.0) for second in (3.0, 4.0, 5.0)]
    # Binomial(900, 1/9): mean 100, standard deviation 9.4; 6 of them, a false alarm in 5e7 at these fixed seeds.
    assert all(abs(count - 100) < 57 for count in counts)


def test_without_a_generator_rows_keep_their_order():
    batch = next(discrimination_batches(X, Y, 2, 4, None))
    assert batch[:, :, 0].T.tolist() == [[0, 3, 6, 8], [1, 2, 4, 5]]


def test_a_class_without_rows_is_refused():
    with pytest.raises(DataError, match="class number 2 has none among these 10 rows"):
        discrimination_batches(X, Y, 3, 2, None)


def test_fewer_rows_than_a_batch_are_refused():
    check_batch_size(64, 64)
    with pytest.raises(DataError, match=r"trainer\.batch_size=64 and 63 rows; set trainer\.batch_size to at most 63"):
        check_batch_size(63, 64, place="trainer.batch_size")


def test_a_seeded_loader_gives_every_pass_an_order_of_its_own_and_repeats_from_the_start():
    def draw(batch_size, order):
        return class_batches(X, Y, batch_size, order)

    def passes(loader):
        return [torch.cat([x for x, _ in loader]) for _ in range(2)]

    first, second = passes(Loader(draw, 5, seed=1))
    again = passes(Loader(draw, 10).loader(3, seed=1))
    assert not torch.equal(first, second)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    assert torch.equal(passes(Loader(draw, 5))[1], X)
