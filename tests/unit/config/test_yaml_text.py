from pathlib import Path

import pytest

from bmtune.config.space import load_space
from bmtune.config.yaml_text import MOST_BYTES
from bmtune.config.yaml_text import parse
from bmtune.config.yaml_text import read_mapping
from bmtune.errors import ConfigError

LAUGHS = "\n".join(
    ["a0: &a0 [x, x]", *(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 12))]
)
MERGES = "\n".join(
    ["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12))]
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LAUGHS, "aliases unfold to more"),
        (MERGES, "aliases unfold to more"),
        ("a: &a [*a]", "aliases unfold to more"),
        ("a: &a {b: *a}", "aliases unfold to more"),
        ("[" * 200, "more than 40 levels"),
        ("a: " * 3 + "1", "mapping values are not allowed"),
        ("{a: " * 60 + "1" + "}" * 60, "more than 40 levels"),
        ("- " * 60 + "x", "more than 40 levels"),
        ("a: 1\na: 2", "'a' is given twice"),
        ("a: {b: 1, b: 2}", "'b' is given twice"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: !!binary aGVsbG8=", "got bytes"),
        ("a: !!set {b, c}", "got set"),
        ("a: 2020-01-01", "got a date"),
        ("1: a", "a key must be text, but got 1"),
        ("? [a]\n: b", "a key is a mapping or a list"),
        ("a: " + "9" * 5000, "unreadable"),
        ("x" * (MOST_BYTES + 1), "at most 256 kB"),
    ],
)
def test_what_is_more_than_it_seems_is_refused_in_one_sentence(text: str, reason: str, tmp_path: Path):
    with pytest.raises(ConfigError, match=reason) as caught:
        parse(text, "file")
    assert str(caught.value).isprintable()
    (tmp_path / "space.yaml").write_text(text)
    with pytest.raises(ConfigError, match=reason):
        load_space(tmp_path / "space.yaml")


def test_ordinary_aliases_still_work():
    assert parse("a: &a {x: 1, y: [1, 2]}\nc: *a", "file") == {"a": {"x": 1, "y": [1, 2]}, "c": {"x": 1, "y": [1, 2]}}


def test_an_endless_file_is_refused():
    with pytest.raises(ConfigError, match="at most 256 kB"):
        read_mapping(Path("/dev/zero"))
