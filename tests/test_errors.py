import copy
import pickle

import pytest

from stance import errors
from stance.errors import MissingExtraError, PairError, StanceError

ALL = [
    errors.InputError("the text is missing"),
    PairError("the response is blank", 7),
    PairError("the response is blank"),
    errors.ColumnError("no column 'reply'"),
    errors.DocumentError("cannot read it"),
    errors.LabelError("no label 'praise'"),
    errors.CheckpointError("damaged"),
    MissingExtraError("torch", "train", "backend='torch'"),
]


@pytest.mark.parametrize("error", ALL, ids=lambda e: type(e).__name__)
def test_an_error_survives_the_way_to_another_process(error):
    for back in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(back) is type(error)
        assert str(back) == str(error)
        assert vars(back) == vars(error)


@pytest.mark.parametrize("error", ALL, ids=lambda e: type(e).__name__)
def test_every_error_is_caught_as_a_stance_error(error):
    assert isinstance(error, StanceError)


def test_errors_are_caught_by_the_builtin_that_a_caller_would_expect():
    assert issubclass(errors.InputError, ValueError)
    assert issubclass(errors.LabelError, ValueError)
    assert issubclass(MissingExtraError, ImportError)
    assert not issubclass(errors.CheckpointError, ValueError)  # a damaged file is not the caller's argument


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes():
    drawn = [line for line in errors.__doc__.splitlines() if "──" in line]
    names = {line.split("──")[1].split()[0] for line in drawn}
    real = {n for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, StanceError)} - {"StanceError"}
    assert names == real


def test_a_pair_error_tells_its_position_only_where_there_is_one():
    assert str(PairError("the accusation is blank", 3)) == "pair 3: the accusation is blank"
    assert str(PairError("the accusation is blank")) == "the accusation is blank"
    assert PairError("x", 0).index == 0


def test_a_missing_package_is_named_with_its_purpose_and_the_command_that_brings_it():
    message = str(MissingExtraError("torch", "train", "backend='torch'"))
    assert "backend='torch' needs 'torch'" in message
    assert "pip install '.[train]'" in message
