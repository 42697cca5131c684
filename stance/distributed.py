"""The same scoring on a cluster: Ray Data datasets, Parquet in and out, and a function for Spark.

Every worker loads the checkpoint once and judges batches on its own; a worker that dies is replaced and its batch
judged again, so every row comes out once. Rows of one batch come back in its order; ask Ray for
``ray.data.DataContext.get_current().execution_options.preserve_order = True`` to keep the order of batches too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

from stance.api import open_model
from stance.classifier import StanceClassifier
from stance.columns import arrow_types, check_clash, column_kinds, find_columns
from stance.errors import InputError, MissingExtraError
from stance.frames import OnMissing, classify_batch, classify_frame
from stance.labels import LABELS

_BATCH = 4096


class Scorer:
    """Judges pyarrow tables; Ray makes one in each worker.

    Args:
        model: The checkpoint; it must be found under this name on every machine.
        threads: Threads to compute with.
        options: Passed on to ``classify_batch``.
    """

    def __init__(self, model: str, backend: str, threads: int, options: dict[str, Any]) -> None:
        self._classifier = StanceClassifier.load(model, backend=backend, threads=threads)
        self._options = options

    def __call__(self, table: Any) -> Any:
        """Give back the table with the columns of ``stance.columns`` added."""
        import pyarrow as pa

        labels, prefix = self._classifier.labels, self._options["prefix"]
        names = find_columns(table.column_names, self._options["accusation"], self._options["response"], "the dataset")
        check_clash(table.column_names, labels, prefix, "the dataset")
        texts = {name: table[name].to_pylist() for name in dict.fromkeys(names)}
        added = classify_batch(
            texts, model=self._classifier, **{**self._options, "accusation": names[0], "response": names[1]}
        )
        types = arrow_types()
        for name, kind in column_kinds(labels, prefix).items():
            table = table.append_column(name, pa.array(added[name], types[kind]))
        return table


def classify_dataset(
    ds: Any,
    *,
    accusation: str | None = None,
    response: str | None = None,
    model: str | os.PathLike[str] = "default",
    backend: str = "auto",
    coverage: float = 1.0,
    on_missing: OnMissing = "raise",
    prefix: str = "",
    workers: int | tuple[int, int] = (1, 1024),
    cpus: int = 1,
    gpus: float = 0,
    batch_size: int = _BATCH,
) -> Any:
    """Judge every row of a Ray Data dataset.

    Args:
        ds: A ``ray.data.Dataset``.
        accusation: The column of the charges; if ``None``, the one called "accusation".
        response: The column of the replies; if ``None``, the one called "response".
        model: A checkpoint that every machine can reach under this name: ``"default"``, a shared folder, a hub name.
        backend: As in ``stance.load``.
        coverage: Share of the predictions of each outcome to keep; below 1, the least sure ones abstain.
        on_missing: ``"raise"`` at rows that cannot be judged, or ``"skip"`` them, which leaves the new columns empty.
        prefix: Put before the name of every added column.
        workers: How many workers, or between how many; each loads the checkpoint once.
        cpus: CPUs, and threads, of one worker.
        gpus: GPUs of one worker.
        batch_size: Rows judged together.

    Returns:
        A lazy ``ray.data.Dataset`` with the columns of ``stance.columns`` added.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    ray = _ray()
    low, high = (workers, workers) if isinstance(workers, int) else workers
    return ds.map_batches(
        Scorer,
        fn_constructor_args=(
            os.fspath(model),
            backend,
            cpus,
            {
                "accusation": accusation,
                "response": response,
                "coverage": coverage,
                "on_missing": on_missing,
                "prefix": prefix,
            },
        ),
        batch_format="pyarrow",
        batch_size=batch_size,
        num_cpus=cpus,
        num_gpus=gpus or None,
        compute=ray.data.ActorPoolStrategy(min_size=low, max_size=high),
    )


def classify_parquet(src: str | list[str], dst: str | os.PathLike[str], **options: Any) -> None:
    """Judge Parquet files and write Parquet files, on every machine of a Ray cluster.

    Args:
        src: A file, a folder, or a list of them, on disks or object stores that every machine reaches.
        dst: The folder to write; new or empty, for Ray adds its files to those that are there.
        **options: Passed on to ``classify_dataset``.

    Raises:
        InputError: ``dst`` is a file, holds something, or is on a kind of store that pyarrow does not know.
        MissingExtraError: Ray is not installed.
    """
    ray, target = _ray(), os.fspath(dst)
    _refuse_full(target)
    classify_dataset(ray.data.read_parquet(src), **options).write_parquet(target)


def _refuse_full(target: str) -> None:
    """Refuse a folder that holds something, on the file systems that Ray writes to."""
    import pyarrow as pa
    from pyarrow import fs

    try:
        system, path = (
            fs.FileSystem.from_uri(target) if "://" in target else (fs.LocalFileSystem(), os.path.abspath(target))
        )
        kind = system.get_file_info(path).type
        held = system.get_file_info(fs.FileSelector(path)) if kind == fs.FileType.Directory else []
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{target} cannot be looked at: {error}") from error
    if kind == fs.FileType.File:
        raise InputError(f"{target} is a file; name a new folder")
    if held:
        raise InputError(
            f"{target} is not empty, and rows would stand beside those there; name a new folder or empty it"
        )


def score_partitions(**options: Any) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Make the function that Spark's ``mapInPandas`` wants.

    Args:
        **options: Passed on to ``classify_frame``; ``model`` must be a name that every machine can reach.

    Examples:
        >>> df.mapInPandas(score_partitions(), spark_schema(df.schema))  # doctest: +SKIP
    """

    def score(frames: Iterator[Any]) -> Iterator[Any]:
        classifier = open_model(options.get("model", "default"), options.get("backend", "auto"))
        for frame in frames:
            yield classify_frame(frame, **{**options, "model": classifier, "progress": False})

    return score


def spark_schema(schema: Any, labels: tuple[str, ...] = LABELS, prefix: str = "") -> Any:
    """The schema that ``score_partitions`` gives for frames of a ``StructType``."""
    from copy import deepcopy

    types = {"text": "string", "number": "double", "flag": "boolean"}
    extended = deepcopy(schema)  # StructType.add changes its object
    for name, kind in column_kinds(labels, prefix).items():
        extended = extended.add(name, types[kind])
    return extended


def _ray() -> Any:
    if find_spec("ray") is None:
        raise MissingExtraError("ray", "ray", "stance.distributed")
    import ray.data

    return ray
