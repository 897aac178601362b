from bmtune.reports.naming import short_names


def test_a_name_is_as_short_as_it_can_be_and_no_two_are_alike():
    paths = [
        "born.bond_dim",
        "trainer.gan.optimizer.lr",
        "trainer.gan.critic.optimizer.lr",
        "trainer.gan.critic.loss.name",
    ]
    assert list(short_names(paths).values()) == ["bond_dim", "gan.optimizer.lr", "critic.optimizer.lr", "loss.name"]


def test_a_path_that_is_the_end_of_another_stays_whole():
    assert short_names(["lr", "optimizer.lr"]) == {"lr": "lr", "optimizer.lr": "optimizer.lr"}
