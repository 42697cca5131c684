import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import stance
from stance import LabelledPair, api
from stance.errors import InputError, LabelError

ROOT = Path(__file__).parent.parent

PUBLIC = {
    "LABELS", "Accusation", "CheckpointError", "ColumnError", "Document", "DocumentError", "Evaluation", "Explanation",
    "FineTuned", "InputError", "Label", "LabelError", "LabelledPair", "Ledger", "LedgerItem", "MissingExtraError", "Pair",
    "PairError", "Prediction", "Span", "StanceClassifier", "StanceError", "StanceEstimator", "agreement", "analyze",
    "classify", "classify_batch", "classify_file", "classify_frame", "classify_pairs", "distributed", "evaluate",
    "exchange", "explain", "export", "extract_pairs", "fine_tune", "iter_pairs", "label_issues", "learning_curve", "load",
    "read_document", "read_labelled", "shares", "suggest", "timeline",
}  # fmt: skip
"""Names that other people's code relies on; taking one away breaks it."""


def python(code: str) -> str:
    """Run code in a fresh interpreter and give back what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# The public names


def test_the_public_names_are_there_and_each_can_be_fetched():
    assert set(stance.__all__) == PUBLIC
    assert len(stance.__all__) == len(PUBLIC)
    for name in stance.__all__:
        assert getattr(stance, name) is not None
        assert name in dir(stance)


def test_every_public_name_is_declared_to_type_checkers_too():
    import ast

    tree = ast.parse((ROOT / "stance" / "__init__.py").read_text(encoding="utf-8"))
    guarded = [node for node in tree.body if isinstance(node, ast.If)]
    declared = {alias.name for block in guarded for line in block.body for alias in line.names}
    assert declared == set(stance.__all__)


def test_every_public_name_tells_what_it_is():
    for name in stance.__all__:
        value = getattr(stance, name)
        assert name == "LABELS" or (value.__doc__ and len(value.__doc__) > 20), name


def test_a_name_that_is_not_there_raises_as_in_any_module():
    with pytest.raises(AttributeError, match="module 'stance' has no attribute 'clasify'"):
        stance.clasify  # noqa: B018
    assert not hasattr(stance, "nothing")


def test_the_version_is_the_distributions():
    assert stance.__version__.count(".") == 2


# Cost of importing


def test_importing_the_library_imports_nothing_heavy():
    heavy = ["torch", "onnxruntime", "numpy", "transformers", "pandas", "tokenizers", "typer", "rich", "sklearn"]
    assert python(f"import sys, stance; print([m for m in {heavy} if m in sys.modules])").strip() == "[]"


def test_using_records_and_errors_imports_nothing_heavy():
    code = "import sys, stance; stance.Pair(accusation='a', response='b'); stance.PairError; stance.LABELS"
    assert python(f"{code}; print('numpy' in sys.modules, 'onnxruntime' in sys.modules)").split() == ["False", "False"]


def test_importing_takes_under_fifty_milliseconds():
    code = "import time; start = time.process_time(); import stance; print(time.process_time() - start)"
    assert best_of(5, code, 0.05) < 0.05


def test_the_first_answer_of_a_cold_process_takes_under_a_second(default):
    code = (
        "import time, stance; stance.classify('You sold them rockets.', 'Where is your evidence?'); "
        "print(time.process_time())"
    )
    assert best_of(4, code, 1.0) < 1.0


def best_of(tries: int, code: str, bound: float) -> float:
    """The least CPU time that a fresh interpreter reports; CPU time, so that a busy machine does not count."""
    least = float("inf")
    for _ in range(tries):
        least = min(least, float(python(code)))
        if least < bound:
            break
    return least


# The verbs


@pytest.fixture
def shipped(tiny_folder, monkeypatch):
    """Let a tiny checkpoint stand in for the default one."""
    monkeypatch.setattr("stance.checkpoint.DEFAULT", tiny_folder)
    api._load.cache_clear()
    yield tiny_folder
    api._load.cache_clear()


def test_a_checkpoint_is_opened_once(shipped):
    assert stance.load() is stance.load("default")
    assert stance.load(shipped) is stance.load(str(shipped))
    assert stance.load(shipped, threads=1) is not stance.load(shipped)


def test_one_verb_in_three_sizes_gives_the_same_answers(shipped):
    pairs = [("word1 word2", "word3"), ("word4", "word5 word6"), ("word1 word2", "word3")]
    single = [stance.classify(*pair) for pair in pairs]
    assert stance.classify_pairs(pairs) == single
    assert list(stance.iter_pairs(iter(pairs))) == single
    assert stance.load().classify_pairs(pairs) == single


def test_a_backend_that_is_not_there_is_named_with_those_that_are(shipped):
    with pytest.raises(InputError, match="no backend 'cuda'; choose from auto, onnx, torch"):
        stance.load(shipped, backend="cuda")


def test_a_backend_whose_package_is_missing_says_what_to_install(shipped, monkeypatch):
    monkeypatch.setattr("stance.backends.find_spec", lambda name: None)
    with pytest.raises(
        stance.MissingExtraError, match=r"'onnxruntime', which is not installed: in a clone of stance, pip install"
    ):
        stance.load(shipped, backend="onnx")


# Evaluation


PAIRS = [("they said", "never untrue"), ("they said", "we admit"), ("they said", "weather"), ("they said", "where")]


def test_gold_may_be_labelled_pairs_names_or_sets(toy):
    predictions = toy.classify_pairs(PAIRS)
    names = ["denial", "acknowledgment", None, "demand_for_evidence"]
    labelled = [
        LabelledPair(accusation=a, response=r, label=label, labels=(label,) if label else (), document_id=f"d{i}")
        for i, ((a, r), label) in enumerate(zip(PAIRS, names, strict=True))
    ]
    forms = [labelled, names, [(n,) if n else () for n in names], ["none" if n is None else n for n in names]]
    for gold in forms:
        got = stance.evaluate(predictions, gold, resamples=5)
        assert got.accuracy.value == got.micro_f1.value == got.inside.value == 1
        assert got.macro_f1.value == 1 and got.absent == ("counter_accusation",)  # nobody turns a charge around
        assert got.calibration_error is not None


def test_labelled_pairs_are_scored_by_source_and_resampled_by_document(toy):
    gold = [
        LabelledPair(accusation=a, response=r, label="denial", labels=("denial",), document_id="d", source=s)
        for (a, r), s in zip(PAIRS, "xxyy", strict=True)
    ]
    got = stance.evaluate(toy.classify_pairs(gold), gold, resamples=20)
    assert {name: part.accuracy.value for name, part in got.by_source.items()} == {"x": 0.5, "y": 0}
    assert "no interval" in str(got.accuracy)  # one document: every draw is the whole


def test_a_pair_without_a_document_is_not_put_into_the_document_named_like_its_row(toy, monkeypatch):
    drawn = []
    monkeypatch.setattr("stance.metrics.evaluate_verdicts", lambda *_, clusters, **__: drawn.extend(clusters))
    gold = [LabelledPair(accusation=a, response=r, document_id=d) for (a, r), d in zip(PAIRS, "12  ", strict=True)]
    gold = [replace(pair, document_id=pair.document_id.strip()) for pair in gold]
    stance.evaluate(toy.classify_pairs(gold), gold)
    assert drawn == ["1", "2", ("", 2), ("", 3)]


@pytest.mark.parametrize("missing", ["", float("nan"), 3])
def test_a_missing_gold_verdict_is_named_and_not_taken_for_none(toy, missing):
    with pytest.raises(InputError, match=r"gold 2 is .*, which is no verdict; give a label, or None"):
        stance.evaluate(toy.classify_pairs(PAIRS), [None, "none", missing, "denial"])


def test_what_has_no_verdict_or_no_order_is_not_scored(toy):
    predictions = toy.classify_pairs(PAIRS)
    with pytest.raises(InputError, match="1 of the predictions abstained"):
        stance.evaluate([replace(predictions[0], abstained=True), *predictions[1:]], [None] * len(PAIRS))
    with pytest.raises(InputError, match="a set has no first member"):
        stance.evaluate(predictions, [{"denial", "acknowledgment"}, None, None, None])


def test_gold_that_does_not_align_or_is_of_other_labels_is_refused(toy):
    predictions = toy.classify_pairs(PAIRS)
    with pytest.raises(InputError, match="4 predictions and 1 gold verdicts"):
        stance.evaluate(predictions, ["denial"])
    with pytest.raises(InputError, match="not be empty"):
        stance.evaluate([], [])
    with pytest.raises(LabelError, match="'refusal'"):
        stance.evaluate(predictions, ["refusal"] * 4)
