"""The JSON of Label Studio, Argilla and doccano. Each ``to_`` function is undone by its ``from_``.

One vote is one ``LabelledPair``. Where several people labelled a pair, several objects share its texts and its
document, and differ in ``annotator``; the tools hold them as several annotations of one task.

The round trip keeps the texts, the verdict and every plain field of a pair. Spans are left out: the tools have no place
for them.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stance.exchange.tables import COLUMNS, PLAIN, Row, parse_row, raise_all, read_rows
from stance.labels import LABELS, NONE
from stance.records import LabelledPair


def _tasks(pairs: Iterable[LabelledPair]) -> list[tuple[LabelledPair, list[LabelledPair]]]:
    """Group votes that agree in all that a task holds: the first vote of each group, and all of them."""
    groups: dict[tuple[str, ...], list[LabelledPair]] = {}
    for pair in pairs:
        groups.setdefault(_key(pair), []).append(pair)
    return [(votes[0], votes) for votes in groups.values()]


def _key(pair: LabelledPair) -> tuple[str, ...]:
    return (pair.accusation, pair.response, str(float(pair.weight)), *(getattr(pair, name) for name in PLAIN))


def _shared(pair: LabelledPair) -> dict[str, Any]:
    """What belongs to the task and not to a vote; ``id`` is renamed, for the tools have an ``id`` of their own."""
    kept = {("pair_id" if name == "id" else name): getattr(pair, name) for name in PLAIN if getattr(pair, name)}
    return kept | ({"weight": pair.weight} if pair.weight != 1 else {})


def _rebuild(
    place: str, texts: Mapping[str, Any], shared: Mapping[str, Any], primary: Any, held: Sequence[str], annotator: str
) -> Row:
    values = {name: shared.get("pair_id" if name == "id" else name, "") for name in (*PLAIN, "weight")}
    values |= {"accusation": texts.get("accusation"), "response": texts.get("response"), "annotator": annotator}
    return Row(place, {**values, "label": primary, "labels": list(held) or None})


def _collect(rows: Iterable[Row], labels: Sequence[str] | None) -> list[LabelledPair]:
    known = None if labels is None else tuple(str(label) for label in labels)
    names = {name: name for name in (*COLUMNS, *PLAIN, "weight")}
    rows = list(rows)
    parsed = [parse_row(row, names, known) for row in rows]
    problems = [f"{row.place}: {text}" for row, (_, wrong) in zip(rows, parsed, strict=True) for text in wrong]
    raise_all(problems, len(rows))
    return [pair for pair, _ in parsed if pair is not None]


def label_studio_config(labels: Sequence[str] = LABELS) -> str:
    """The labelling interface that ``to_label_studio`` writes tasks for; paste it into the project's settings."""
    choices = "".join(f'<Choice value="{name}"/>' for name in (*labels, NONE))
    return (
        '<View><Header value="Accusation"/><Text name="accusation" value="$accusation"/>'
        '<Header value="Response"/><Text name="response" value="$response"/>'
        f'<Choices name="stances" toName="response" choice="multiple" required="true">{choices}</Choices>'
        f'<Header value="Primary"/><Choices name="primary" toName="response" choice="single" required="true">{choices}'
        '</Choices><TextArea name="annotator" toName="response" maxSubmissions="1" placeholder="Reader"/></View>'
    )


def to_label_studio(pairs: Iterable[LabelledPair]) -> list[dict[str, Any]]:
    """Tasks for Label Studio's JSON import, one for each pair, with one annotation for each vote.

    The annotator travels as an answer of its own, for Label Studio gives imported annotations to whoever imports them.
    """
    return [
        {
            "data": {"accusation": pair.accusation, "response": pair.response, **_shared(pair)},
            "annotations": [{"result": _results(vote)} for vote in votes],
        }
        for pair, votes in _tasks(pairs)
    ]


def _results(vote: LabelledPair) -> list[dict[str, Any]]:
    def region(name: str, kind: str, key: str, value: list[str]) -> dict[str, Any]:
        return {"from_name": name, "to_name": "response", "type": kind, "value": {key: value}}

    held = [str(label) for label in vote.labels] or [NONE]
    primary = [NONE if vote.label is None else str(vote.label)]
    regions = [region("stances", "choices", "choices", held), region("primary", "choices", "choices", primary)]
    return regions + ([region("annotator", "textarea", "text", [vote.annotator])] if vote.annotator else [])


def from_label_studio(source: Any, *, labels: Sequence[str] | None = LABELS) -> list[LabelledPair]:
    """Read a JSON export of Label Studio, as a path or as a list of tasks; skipped annotations are left out.

    Raises:
        InputError: Annotations cannot be used; lists the problems of all of them.
    """
    rows = []
    for number, task in enumerate(_records(source), 1):
        data = task.get("data", {})
        for order, annotation in enumerate(task.get("annotations") or [], 1):
            if annotation.get("was_cancelled"):
                continue
            place = f"task {task.get('id', number)}, annotation {order}"
            rows.append(_from_results(place, data, annotation))
    return _collect(rows, labels)


def _from_results(place: str, data: Mapping[str, Any], annotation: Mapping[str, Any]) -> Row:
    answers: dict[str, list[str]] = {}
    for region in annotation.get("result", []):
        value = region.get("value", {})
        answers.setdefault(region.get("from_name", ""), []).extend(value.get("choices") or value.get("text") or [])
    primary = (answers.get("primary") or [""])[0]
    held = answers.get("stances") or ([primary] if primary else [])
    return _rebuild(place, data, data, primary, held, (answers.get("annotator") or [_who(annotation)])[0])


def _who(annotation: Mapping[str, Any]) -> str:
    who = annotation.get("completed_by", "")
    if isinstance(who, Mapping):
        who = who.get("email") or who.get("id") or ""
    return str(who)


def to_argilla(pairs: Iterable[LabelledPair]) -> list[dict[str, Any]]:
    """Records as Argilla 2 reads with ``Record.from_dict``: two fields, questions ``stances`` and ``primary``.

    Argilla knows people by UUID. Each annotator's is made from the name, and the record's metadata hold the name.
    """
    return [
        {
            "id": "-".join(filter(None, (pair.id, str(uuid.uuid5(_NAMESPACE, "\0".join(_key(pair))))))),
            "fields": {"accusation": pair.accusation, "response": pair.response},
            "metadata": {
                **_shared(pair),
                "annotators": json.dumps({_user_id(v.annotator): v.annotator for v in votes}, ensure_ascii=False),
            },
            "suggestions": {},
            "responses": {
                "stances": [_answer(v, [str(label) for label in v.labels] or [NONE]) for v in votes],
                "primary": [_answer(v, NONE if v.label is None else str(v.label)) for v in votes],
            },
            "vectors": {},
        }
        for pair, votes in _tasks(pairs)
    ]


_NAMESPACE = uuid.UUID("5c1d7f5e-3f0e-5d7b-9a60-8f3f2b6f6a10")


def _user_id(annotator: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, annotator))


def _answer(vote: LabelledPair, value: Any) -> dict[str, Any]:
    return {"value": value, "user_id": _user_id(vote.annotator)}


def from_argilla(source: Any, *, labels: Sequence[str] | None = LABELS) -> list[LabelledPair]:
    """Read records of Argilla 2, as a path or as a list (``dataset.records.to_json`` or ``to_list(flatten=False)``).

    Raises:
        InputError: Responses cannot be used; lists the problems of all of them.
    """
    rows = []
    for number, record in enumerate(_records(source), 1):
        metadata, responses = record.get("metadata") or {}, record.get("responses") or {}
        people = json.loads(metadata.get("annotators") or "{}")
        primary = {answer["user_id"]: answer["value"] for answer in responses.get("primary") or []}
        held = {answer["user_id"]: answer["value"] for answer in responses.get("stances") or []}
        others = [answer["user_id"] for answers in responses.values() for answer in answers or []]
        for user in dict.fromkeys([*held, *primary, *others]):
            place = f"record {record.get('id') or number}, user {people.get(user, user)}"
            choice = primary.get(user, "")
            members = held.get(user) or ([choice] if choice else [])
            rows.append(_rebuild(place, record.get("fields", {}), metadata, choice, members, people.get(user, user)))
    return _collect(rows, labels)


PRIMARY_MARK = "primary:"
"""doccano keeps a set of labels and no order: where a set has several, a label with this prefix names the primary."""


def to_doccano(pairs: Iterable[LabelledPair]) -> list[dict[str, Any]]:
    """Lines for doccano's JSONL import (document classification), one for each vote: doccano has one reader a project.

    The text shows both parts. A set of several stances has one more label, ``primary:denial`` or the like.
    """
    lines = []
    for vote in pairs:
        held = [str(label) for label in vote.labels] or [NONE]
        mark = [f"{PRIMARY_MARK}{vote.label!s}"] if len(held) > 1 else []
        lines.append(
            {
                "text": f"ACCUSATION\n{vote.accusation}\n\nRESPONSE\n{vote.response}",
                "label": sorted([*held, *mark]),  # as doccano exports them
                "accusation": vote.accusation,
                "response": vote.response,
                **_shared(vote),
                **({"annotator": vote.annotator} if vote.annotator else {}),
            }
        )
    return lines


def from_doccano(source: Any, *, annotator: str = "", labels: Sequence[str] | None = LABELS) -> list[LabelledPair]:
    """Read a JSONL export of doccano, as a path or as a list of its lines.

    Args:
        source: The export; doccano writes one file for each reader.
        annotator: Whose file it is, for lines that do not say.
        labels: The stances that may occur, or ``None`` for any.

    Raises:
        InputError: Lines cannot be used; lists the problems of all of them.
    """
    rows = []
    for number, line in enumerate(_records(source), 1):
        tags = [str(tag) for tag in line.get("label") or []]
        held = [tag for tag in tags if not tag.startswith(PRIMARY_MARK)]
        marked = [tag.removeprefix(PRIMARY_MARK) for tag in tags if tag.startswith(PRIMARY_MARK)]
        primary = marked[0] if len(marked) == 1 else held[0] if len(held) == 1 and not marked else ""
        texts = line if "accusation" in line and "response" in line else _parts(line.get("text", ""))
        members = [*held, *(name for name in marked if name not in held)]
        rows.append(_rebuild(f"line {number}", texts, line, primary, members, line.get("annotator") or annotator))
    return _collect(rows, labels)


def _parts(text: str) -> dict[str, str | None]:
    found = re.fullmatch(r"ACCUSATION\n(.*)\n\nRESPONSE\n(.*)", text, flags=re.DOTALL)
    return {"accusation": found[1], "response": found[2]} if found else {"accusation": None, "response": None}


def write_json(records: Sequence[Mapping[str, Any]], path: str | os.PathLike[str]) -> Path:
    """Write what a ``to_`` function gave: one list, or one record a line where the path ends in ``.jsonl``."""
    target = Path(path)
    text = (
        "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        if target.suffix == ".jsonl"
        else json.dumps(list(records), ensure_ascii=False, indent=1) + "\n"
    )
    target.write_text(text, encoding="utf-8")
    return target


def _records(source: Any) -> list[dict[str, Any]]:
    if not isinstance(source, (str, os.PathLike)):
        return list(source)
    return [dict(row.values) for row in read_rows(source)]
