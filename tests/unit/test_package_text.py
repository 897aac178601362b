"""What the package's text must not contain: ways to run code that came in a file."""

import ast
from pathlib import Path

import pytest

import bmtune

PACKAGE = Path(bmtune.__file__).parent
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_ATTRIBUTES = {("torch", "load"), ("torch", "save"), ("yaml", "unsafe_load"), ("yaml", "full_load")}


def offences(source: str) -> list[str]:
    """Each forbidden import, call or attribute, as `line: what`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found += [(node.lineno, name.name) for name in names if name.name.split(".")[0] in FORBIDDEN_MODULES]
            case ast.ImportFrom(module=str(module), names=names):
                if module.split(".")[0] in FORBIDDEN_MODULES:
                    found.append((node.lineno, module))
                found += [
                    (node.lineno, f"{module}.{n.name}") for n in names if (module, n.name) in FORBIDDEN_ATTRIBUTES
                ]
            case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS:
                found.append((node.lineno, name))
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if (owner, name) in FORBIDDEN_ATTRIBUTES:
                found.append((node.lineno, f"{owner}.{name}"))
            case ast.keyword(arg="allow_pickle", value=ast.Constant(value=True)):
                found.append((node.value.lineno, "allow_pickle=True"))
    return [f"{line}: {what}" for line, what in sorted(found)]


def test_the_package_runs_no_code_from_files():
    found = {str(path.relative_to(PACKAGE)): offences(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
    assert len(found) > 20
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import joblib.numpy_pickle",
        "from pickle import loads",
        "from torch import load",
        "torch.load('x')",
        "eval('1')",
        "np.load('x', allow_pickle=True)",
        "yaml.unsafe_load(text)",
    ],
)
def test_the_search_for_offences_finds_them(source: str):
    assert len(offences(source)) == 1


@pytest.mark.parametrize("source", ["model.eval()", "re.compile('a')", "np.load('x', allow_pickle=False)", "# pickle"])
def test_the_search_for_offences_finds_no_others(source: str):
    assert offences(source) == []
