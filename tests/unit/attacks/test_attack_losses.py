import torch
from torch.nn.functional import cross_entropy

from bmtune.attacks import difference_of_logits
from bmtune.attacks import log_odds
from bmtune.attacks import margin


def weights(num_classes=4, rows=20):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(num_classes, (rows,), generator=generator)
    return 3 * torch.randn(num_classes, rows, generator=generator, dtype=torch.float64), labels


def slope(function, values, *labels):
    leaf = values.clone().requires_grad_()
    (found,) = torch.autograd.grad(function(leaf, *labels).sum(), leaf)
    return found


def test_log_odds_are_those_of_the_other_classes():
    values, labels = weights()
    probability = values.softmax(0).gather(0, labels[None])[0]
    torch.testing.assert_close(log_odds(values, labels), ((1 - probability) / probability).log())


def test_log_odds_have_the_direction_and_order_of_the_cross_entropy():
    values, labels = weights()
    nll = cross_entropy(values.T, labels, reduction="none")
    odds = log_odds(values, labels)
    torch.testing.assert_close(nll, odds.exp().log1p())
    one = slope(lambda w: cross_entropy(w.T, labels, reduction="none"), values)
    other = slope(lambda w: log_odds(w, labels), values)
    torch.testing.assert_close(one / one.norm(dim=0), other / other.norm(dim=0))


def test_log_odds_of_a_certain_row_keep_their_slope():
    values, labels = torch.tensor([[40.0], [0.0], [-1.0]]), torch.tensor([0])
    assert slope(lambda w: cross_entropy(w.T, labels, reduction="none"), values)[0] == 0
    assert slope(lambda w: log_odds(w, labels), values)[0] == -1


def test_a_margin_is_positive_for_a_wrong_prediction_and_only_then():
    values, labels = weights()
    assert torch.equal(margin(values, labels) > 0, values.argmax(0) != labels)
    torch.testing.assert_close(margin(values[:2], labels % 2), log_odds(values[:2], labels % 2))


def test_the_difference_of_logits_is_the_published_one_whatever_shift_and_scale():
    values, labels = torch.tensor([[3.0, 3.0], [1.0, 1.0], [-1.0, -1.0], [2.0, 2.0]]), torch.tensor([0, 1])
    expected = torch.tensor([-(3.0 - 2.0) / (3 - 1), -(1.0 - 3.0) / (3 - 1)])
    torch.testing.assert_close(difference_of_logits(values, labels), expected)
    torch.testing.assert_close(difference_of_logits(5 * values - 2, labels), expected)


def test_a_class_of_weight_zero_leaves_the_loss_of_the_others():
    values = torch.tensor([[1.0], [0.0], [float("-inf")]])
    torch.testing.assert_close(log_odds(values, torch.tensor([0])), torch.tensor([-1.0]))
    assert log_odds(values, torch.tensor([2])) == float("inf")


def test_two_classes_are_three_of_which_one_has_weight_zero():
    values, labels = weights(num_classes=2)
    values[1, :3] = float("-inf")
    third = torch.cat((values, torch.full((1, 20), float("-inf"), dtype=torch.float64)))
    for function in (log_odds, margin):
        torch.testing.assert_close(function(values, labels), function(third, labels), rtol=0, atol=0)
        torch.testing.assert_close(
            slope(function, values, labels)[:, 3:], slope(function, third, labels)[:2, 3:], rtol=0, atol=0
        )
