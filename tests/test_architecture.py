"""The shape of the library, read from its source: who imports whom, and how long things are."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("stance", "training")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
LONGEST = 600

LAYERS = (
    {"labels", "errors"},
    {"records"},
    {"encoding", "metrics", "calibration", "pairing", "documents", "timelines"},
    {"checkpoint", "backends", "exporting", "cards"},
    {"classifier"},
    {"api"},
    {"attribution", "columns", "exchange", "sampling", "prevalence", "reports"},
    {"files", "frames", "ledgers", "finetuning", "labelling"},
    {"distributed", "estimator"},
    {"cli"},
    {"__main__"},
)
"""Modules from left to right: each imports from its own layer or from those before it."""

HEAVY = {"torch", "transformers", "onnxruntime", "onnx"}
"""Packages that run networks, and where alone they may be imported."""
RUNNERS = {"backends", "exporting", "finetuning"}


def name_of(path: Path) -> str:
    """The module or subpackage of ``stance`` that a file belongs to."""
    return path.relative_to(ROOT / "stance").parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> set[str]:
    """Every module that is imported anywhere in a file, but for those that only type checkers see."""
    unseen = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the direction"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer_of(name: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if name in layer)


IN_STANCE = [path for path in FILES if path.relative_to(ROOT).parts[0] == "stance"]
shown = {"ids": lambda path: str(path.relative_to(ROOT)) if isinstance(path, Path) else None}


def test_every_module_has_its_layer():
    names = {name_of(path) for path in IN_STANCE} - {"__init__"}
    placed = set().union(*LAYERS)
    assert names == placed, f"not placed: {sorted(names - placed)}; gone: {sorted(placed - names)}"


@pytest.mark.parametrize("path", IN_STANCE, **shown)
def test_the_library_never_imports_training_tests_or_benchmarks(path):
    assert not {name.split(".")[0] for name in imports(TREES[path])} & {"training", "tests", "benchmarks"}


@pytest.mark.parametrize("path", [p for p in IN_STANCE if name_of(p) != "__init__"], **shown)
def test_imports_go_from_right_to_left(path):
    mine = layer_of(name_of(path))
    for name in imports(TREES[path]):
        parts = name.split(".")
        if parts[0] == "stance" and len(parts) > 1 and any(parts[1] in layer for layer in LAYERS):
            assert layer_of(parts[1]) <= mine, f"{name} stands to the right of {name_of(path)}"


@pytest.mark.parametrize("path", IN_STANCE, **shown)
def test_networks_run_in_the_backends_and_nowhere_else(path):
    if name_of(path) not in RUNNERS:
        assert not {name.split(".")[0] for name in imports(TREES[path])} & HEAVY


@pytest.mark.parametrize("path", FILES, **shown)
def test_the_trainer_lives_in_finetuning_and_nowhere_else(path):
    if "finetuning" not in path.parts:
        assert not {"transformers.Trainer", "transformers.TrainingArguments"} & imports(TREES[path])


@pytest.mark.parametrize("path", IN_STANCE, **shown)
def test_no_module_is_named_like_a_public_function(path):
    import stance

    # stance.backends would replace a function stance.backends on first import of the module
    assert name_of(path) not in set(stance.__all__) - set(stance._MODULES)


@pytest.mark.parametrize("path", FILES, **shown)
def test_no_file_is_longer_than_can_be_read_in_one_go(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@pytest.mark.parametrize("path", FILES, **shown)
def test_everything_public_says_what_it_is(path):
    assert ast.get_docstring(TREES[path]), "the module has no docstring"
    silent = [node.name for node in public(TREES[path].body) if not ast.get_docstring(node)]
    assert not silent, f"no docstring: {silent}"


def public(body: list[ast.stmt]) -> list[ast.FunctionDef | ast.ClassDef]:
    """The public functions and classes of a module and the methods of those classes that inherit from nothing."""
    found = []
    for node in body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"):
            continue
        if any("overload" in ast.unparse(decorator) for decorator in node.decorator_list):
            continue
        found.append(node)
        if isinstance(node, ast.ClassDef) and not node.bases:
            found += public(node.body)
    return found


@pytest.mark.parametrize("path", FILES, **shown)
def test_importing_a_module_does_nothing_but_define(path):
    """No calls for their effect at the top of a module; the two entry points are guarded or are ``__main__``."""
    if path.name == "__main__.py":
        return
    calls = [n for n in TREES[path].body if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call)]
    assert not calls, [ast.unparse(call) for call in calls]
