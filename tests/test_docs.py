"""The manual builds without a warning, and what it shows runs.

A block of Python or shell without a title runs, in the order of its page, in a folder of its own. A block with a title
("needs a GPU", "takes minutes") is only checked for its syntax.
"""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md"))
BLOCK = re.compile(r"^```(python|sh)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = 'stance() { "$PYTHON" -m stance "$@"; }\n'


class Block(NamedTuple):
    language: str
    runs: bool
    text: str


def blocks(path: Path) -> list[Block]:
    return [Block(kind, "title=" not in rest, text) for kind, rest, text in BLOCK.findall(path.read_text("utf-8"))]


WITH_BLOCKS = [path for path in PAGES if any(block.runs for block in blocks(path))]
NAMES = {"ids": lambda path: str(path.relative_to(DOCS))}


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", PAGES, **NAMES)
def test_every_block_of_python_parses(path: Path) -> None:
    for block in blocks(path):
        if block.language == "python":
            ast.parse(block.text)


@pytest.mark.slow
@pytest.mark.parametrize("path", WITH_BLOCKS, **NAMES)
def test_the_blocks_of_a_page_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stance.checkpoint import ARTICLES_FILE, DEFAULT

    if "analyze" in path.read_text("utf-8") and not (DEFAULT / ARTICLES_FILE).is_file():
        pytest.skip("the checkpoint cannot read documents")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    names: dict[str, Any] = {}
    for block in (block for block in blocks(path) if block.runs):
        if block.language == "python":
            exec(compile(block.text, str(path), "exec"), names)
        else:
            subprocess.run(
                ["bash", "-ec", SHELL + block.text], env={**os.environ, "PYTHON": sys.executable}, check=True
            )


def test_no_page_loads_anything_from_elsewhere() -> None:
    for path in PAGES:
        assert not re.search(r"!\[[^]]*\]\(https?:|<(?:script|img|link|iframe)\b", path.read_text("utf-8")), path


def test_the_codebook_is_included_and_not_copied() -> None:
    assert (DOCS / "codebook.md").read_text("utf-8").strip() == '--8<-- "data/CODEBOOK.md"'


def test_the_datasheet_is_included_and_ethics_points_to_it() -> None:
    assert (DOCS / "data.md").read_text("utf-8").strip() == '--8<-- "data/README.md"'
    assert "](data.md)" in (DOCS / "ethics.md").read_text("utf-8")


def test_the_cost_follows_from_the_measured_rates(
    hooks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = {
        "machine": {"processor": "Some CPU", "threads": 2, "system": "Linux x86_64"},
        "pairs": 20_000,
        "tokens_per_pair": 70.0,
        "contenders": {"stance": {"pairs_s": 1000.0}},
        "growth": [
            {"rows": 1000, "network": True, "us_per_row": 1.0, "peak_mb": 1.0},
            {"rows": 9000, "network": True, "us_per_row": 2000.0, "peak_mb": 200.0},
            {"rows": 10**6, "network": False, "us_per_row": 9.0, "peak_mb": 1.0},
        ],
    }
    monkeypatch.setattr(hooks, "RESULTS", tmp_path / "results.json")
    assert "make bench" in hooks.cost()
    hooks.RESULTS.write_text(json.dumps(results))
    text = hooks.cost(price=0.1)
    assert "| stance, a file of 9,000 rows | 500 | 556 | 24 | 111 |" in text  # 1e9 / 500 / 3600; x 2 x 0.1
    assert "| stance, pairs in memory | 1,000 | 278 | 12 | 56 |" in text
    assert "Some CPU" in text and "200 MB" in text and "1,000,000 rows" not in text


def test_the_page_of_costs_gives_the_limits_of_the_record_and_says_when_it_is_a_quick_one(
    hooks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = {
        "machine": {"processor": "Some CPU", "threads": 2, "system": "Linux x86_64"},
        "pairs": 300,
        "tokens_per_pair": 70.0,
        "contenders": {"stance": {"pairs_s": 1000.0}},
        "growth": [
            {"rows": 2000, "network": True, "us_per_row": 2000.0, "peak_mb": 200.0},
            {"rows": 30_000, "network": False, "us_per_row": 9.0, "peak_mb": 1.0},
        ],
    }
    monkeypatch.setattr(hooks, "RESULTS", tmp_path / "results.json")
    quick = "Quick run: an order of magnitude only"
    hooks.RESULTS.write_text(json.dumps(results))
    assert quick in hooks.cost()
    assert "The largest file was of 2,000 rows, and of 30,000 with the network left out." in hooks.cost()
    hooks.RESULTS.write_text(json.dumps({**results, "pairs": 20_000, "growth": results["growth"][:1]}))
    assert quick not in hooks.cost()
    assert "The largest file was of 2,000 rows." in hooks.cost()
    assert not re.search(r"\d+,\d{3}|million rows", (DOCS / "cost.md").read_text("utf-8"))


def test_the_card_and_the_readme_say_which_pairs_are_real(hooks: ModuleType) -> None:
    for text in (hooks.model(), (ROOT / "README.md").read_text("utf-8")):
        assert ("| written |" in text) == ("written\nfor this project" in text or "written for this project" in text)


def test_every_command_and_the_card_are_in_the_manual(hooks: ModuleType) -> None:
    page = hooks.on_page_markdown("# Command line\n\n<!-- stance: cli -->\n")
    assert all(f"## stance {name}\n" in page for name in ("classify", "score", "analyze", "train", "label", "evaluate"))
    assert "--coverage" in page and "\x1b" not in page
    assert hooks.model().startswith("## stance") and "Limits" in hooks.model()


@pytest.mark.slow
def test_the_manual_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        loaded = re.findall(
            r"<(?:script|img|iframe|link)\b[^>]*(?:src|href)=\"(https?://[^\"]+)\"", page.read_text("utf-8")
        )
        assert not loaded, (page.name, loaded)
    book = (tmp_path / "site" / "codebook.html").read_text("utf-8")
    assert "How to find the primary" in book
