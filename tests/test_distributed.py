from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_checkpoint import tiny_pairs

from stance import distributed
from stance.classifier import StanceClassifier
from stance.distributed import classify_dataset, classify_parquet, score_partitions, spark_schema
from stance.errors import InputError, MissingExtraError

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq  # noqa: E402

PAIRS = tiny_pairs(30)


@pytest.fixture(scope="module")
def folder(tiny_folder: Path) -> Path:
    return tiny_folder


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    ray = pytest.importorskip(
        "ray", reason="Ray is not installed; pip install 'ray[data]' to run the tests of clusters"
    )
    root = str(Path(__file__).parent.parent)
    paths = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    ray.init(
        num_cpus=4,  # two for scorers, two for readers
        include_dashboard=False,
        object_store_memory=200 * 2**20,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={"env_vars": {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}},
    )
    yield ray
    ray.shutdown()


def table(n: int) -> Any:
    pairs = tiny_pairs(n)
    return pa.table({"id": range(n), "accusation": [a for a, _ in pairs], "response": [b for _, b in pairs]})


@pytest.mark.slow
def test_every_row_comes_out_once_though_a_worker_is_killed(ray: Any, folder: Path, tmp_path: Path) -> None:
    class Watched(distributed.Scorer):
        """A scorer that notes which process judges which batch, and takes its time."""

        def __call__(self, table: Any) -> Any:
            (tmp_path / f"{os.getpid()}-{time.monotonic_ns()}").write_text(str(table["id"][0]))
            time.sleep(0.1)
            return super().__call__(table)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(distributed, "Scorer", Watched)
        dataset = ray.data.from_arrow([table(400).slice(start, 20) for start in range(0, 400, 20)])
        scored = classify_dataset(dataset, model=folder, workers=2, batch_size=20)
        killer = threading.Thread(target=_kill_one_of_two, args=(tmp_path,))
        killer.start()
        rows = scored.take_all()
        killer.join()
    assert (tmp_path / "killed").exists(), "there were never two workers"
    assert len([name for name in os.listdir(tmp_path) if "-" in name]) > 20, "no batch had to be judged again"
    assert sorted(row["id"] for row in rows) == list(range(400))
    expected = StanceClassifier.load(folder).classify_pairs(tiny_pairs(400))
    assert all(row["label"] == (expected[row["id"]].label or "none") for row in rows)


def _kill_one_of_two(folder: Path) -> None:
    """Kill the process that began the latest batch, once two processes have judged some."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        notes = [name.split("-") for name in os.listdir(folder) if "-" in name]
        if len(notes) >= 5 and len({pid for pid, _ in notes}) == 2:
            latest, _ = max(notes, key=lambda note: int(note[1]))
            os.kill(int(latest), signal.SIGKILL)
            (folder / "killed").touch()
            return
        time.sleep(0.005)


@pytest.mark.slow
def test_parquet_goes_in_and_out(ray: Any, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(table(30), tmp_path / "in" / "a.parquet")
    classify_parquet(str(tmp_path / "in"), str(tmp_path / "out"), model=folder, workers=1, batch_size=7)
    rows = pq.read_table(tmp_path / "out").sort_by("id").to_pylist()
    expected = StanceClassifier.load(folder).classify_pairs(PAIRS)
    assert [row["p_denial"] for row in rows] == [round(p.probabilities["denial"], 6) for p in expected]
    assert rows[0]["truncated"] is False and len(rows[0]) == 3 + 15


@pytest.mark.parametrize("uri", [False, True])
def test_a_folder_that_holds_something_is_refused_before_any_work(
    uri: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    dataset = SimpleNamespace(write_parquet=written.append)
    monkeypatch.setattr(distributed, "classify_dataset", lambda ds, **options: dataset)
    monkeypatch.setattr(distributed, "_ray", lambda: SimpleNamespace(data=SimpleNamespace(read_parquet=str)))
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.parquet").touch()
    name = (lambda path: path.as_uri()) if uri else str
    for free in ("new", "empty"):
        classify_parquet("in", name(tmp_path / free))
    with pytest.raises(InputError, match=r"full is not empty.*name a new folder"):
        classify_parquet("in", name(tmp_path / "full"))
    with pytest.raises(InputError, match="is a file; name a new folder"):
        classify_parquet("in", name(tmp_path / "full" / "a.parquet"))
    assert written == [name(tmp_path / "new"), name(tmp_path / "empty")]


def test_a_spark_function_scores_partition_after_partition(folder: Path) -> None:
    frame = table(30).to_pandas()
    scored = pd.concat(score_partitions(model=str(folder))(iter([frame[:10], frame[10:10], frame[10:]])))
    expected = StanceClassifier.load(folder).classify_pairs(PAIRS)
    assert scored["label"].tolist() == [p.label or "none" for p in expected]


def test_a_spark_schema_is_extended_in_the_order_of_the_columns(folder: Path) -> None:
    class StructType(list[tuple[str, str]]):
        def add(self, name: str, kind: str) -> StructType:
            self.append((name, kind))
            return self

    before = StructType([("accusation", "string"), ("response", "string")])
    scored = next(iter(score_partitions(model=str(folder))(iter([table(3).to_pandas()[["accusation", "response"]]]))))
    assert [name for name, _ in spark_schema(before)] == list(scored.columns)
    assert len(before) == 2


def test_a_missing_ray_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stance.distributed.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install .\.\[ray\]"):
        classify_dataset(None)
