"""What the package's text must not contain: ways to run code that came in a file, or a shell."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import bmtune

PACKAGE = Path(bmtune.__file__).parent
FORBIDDEN_MODULES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "code"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_NAMES = {
    *("torch.load", "torch.save", "torch.jit.load", "torch.hub.load", "torch.package.PackageImporter"),
    *("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "yaml.Loader", "yaml.UnsafeLoader"),
    *("yaml.FullLoader", "pandas.read_pickle", "numpy.core.multiarray._reconstruct"),
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("builtins.eval", "builtins.exec", "tarfile.open", "shutil.unpack_archive", "zipfile.ZipFile"),
}
"""Archives are here too: nothing unpacks one, so no member of one can be written outside of a folder."""
NUMPY_LOADS = {"numpy.load", "numpy.lib.format.read_array", "numpy.fromregex"}


def imported_names(tree: ast.AST) -> dict[str, str]:
    """What each name that an import has bound stands for: `np` for `numpy`, `load` for `torch.load`."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                found[name.asname or name.name.split(".")[0]] = name.name if name.asname else name.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}
    return found


def full_name(node: ast.AST, names: dict[str, str]) -> str:
    """`numpy.load` for `np.load`; an empty text for what is no dotted name."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([names.get(node.id, node.id), *reversed(parts)])


def _of_import(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (name.name for name in node.names if name.name.split(".")[0] in FORBIDDEN_MODULES)
    if isinstance(node, ast.ImportFrom) and node.module:
        if node.module.split(".")[0] in FORBIDDEN_MODULES:
            yield node.module
        yield from (f"{node.module}.{n.name}" for n in node.names if f"{node.module}.{n.name}" in FORBIDDEN_NAMES)


def _of_call(node: ast.Call, names: dict[str, str]) -> Iterator[str]:
    name = full_name(node.func, names)
    values = {word.arg: word.value for word in node.keywords}
    if name in FORBIDDEN_CALLS:
        yield name
    if name in NUMPY_LOADS and not _is(values.get("allow_pickle"), value=False):
        yield f"{name} without allow_pickle=False"
    if name not in NUMPY_LOADS and _is(values.get("allow_pickle"), value=True):
        yield "allow_pickle=True"
    if "shell" in values and not _is(values["shell"], value=False):
        yield "a shell"


def _is(node: ast.AST | None, *, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def offences(source: str) -> list[str]:
    """Each forbidden import, call or attribute, as `line: what`."""
    tree = ast.parse(source)
    names = imported_names(tree)
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        found += [(line, what) for what in _of_import(node)]
        if isinstance(node, ast.Call):
            found += [(line, what) for what in _of_call(node, names)]
        if isinstance(node, ast.Attribute) and full_name(node, names) in FORBIDDEN_NAMES:
            found.append((line, full_name(node, names)))
    return [f"{line}: {what}" for line, what in sorted(found)]


def test_the_package_runs_no_code_from_files():
    found = {str(path.relative_to(PACKAGE)): offences(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
    assert len(found) > 20
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import cloudpickle as c",
        "import joblib.numpy_pickle",
        "from pickle import loads",
        "from marshal import loads",
        "import shelve",
        "from torch import load",
        "import torch\ntorch.load('x', weights_only=True)",
        "import torch as t\nt.load('x')",
        "eval('1')",
        "exec(text)",
        "compile(text, 'x', 'exec')",
        "__import__(name)",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nnp.load('x')",
        "from numpy import load\nload('x')",
        "np.load('x', allow_pickle=wish)\nimport numpy as np",
        "reader.read(allow_pickle=True)",
        "import yaml\nyaml.unsafe_load(text)",
        "import yaml\nyaml.load(text, Loader=yaml.SafeLoader)",
        "import yaml as y\ny.full_load(text)",
        "import os\nos.system('ls')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import subprocess\nsubprocess.run('ls', shell=wish)",
        "import shutil\nshutil.unpack_archive('x')",
        "from tarfile import open",
    ],
)
def test_the_search_for_offences_finds_them(source: str):
    assert len(offences(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "import re\nre.compile('a')",
        "import numpy as np\nnp.load('x', allow_pickle=False)",
        "# pickle",
        "import subprocess\nsubprocess.run(['ls'])",
        "import json\njson.load(file)",
        "import yaml\nyaml.safe_dump(x)\nclass A(yaml.SafeLoader):\n    pass",
    ],
)
def test_the_search_for_offences_finds_no_others(source: str):
    assert offences(source) == []
