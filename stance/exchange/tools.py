"""The JSON of Label Studio, Argilla and doccano. Each ``to_`` function is undone by its ``from_``.

One vote is one ``LabelledPair``. Where several people labelled a pair, several objects share its texts and its
document, and differ in ``annotator``; the tools hold them as several annotations of one task.

The round trip keeps the texts, the verdict and every plain field of a pair. Spans are left out: the tools have no place
for them.
"""

from __future__ import annotations

import html
import json
import os
import re
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stance.errors import InputError
from stance.exchange.tables import COLUMNS, PLAIN, Row, parse_row, raise_all, read_rows
from stance.labels import LABELS, NONE
from stance.records import LabelledPair

_LABEL_STUDIO = "export the project as JSON, not as JSON-MIN or CSV"
_ARGILLA = "export with dataset.records.to_json, or with to_list(flatten=False)"
_DOCCANO = "export the project as JSONL"


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
    place: str, texts: Mapping[str, Any], shared: Mapping[str, Any], primary: Any, held: Any, annotator: str
) -> Row:
    values = {name: shared.get("pair_id" if name == "id" else name, "") for name in (*PLAIN, "weight")}
    values |= {"accusation": texts.get("accusation"), "response": texts.get("response"), "annotator": annotator}
    return Row(place, {**values, "label": primary, "labels": _listed(held) or None})


def _collect(rows: Sequence[Row], labels: Sequence[str] | None, none_found: str) -> list[LabelledPair]:
    if not rows:
        raise InputError(none_found)
    known = None if labels is None else tuple(str(label) for label in labels)
    names = {name: name for name in (*COLUMNS, *PLAIN, "weight")}
    parsed = [parse_row(row, names, known) for row in rows]
    problems = [f"{row.place}: {text}" for row, (_, wrong) in zip(rows, parsed, strict=True) for text in wrong]
    raise_all(problems, len(rows))
    return [pair for pair, _ in parsed if pair is not None]


def label_studio_config(labels: Sequence[str] = LABELS) -> str:
    """The labelling interface that ``to_label_studio`` writes tasks for; paste it into the project's settings."""
    choices = "".join(f'<Choice value="{html.escape(str(name))}"/>' for name in (*labels, NONE))
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
        InputError: The export is of another kind, or has no annotation, or annotations cannot be used; lists the
            problems of all of them.
    """
    tasks = _records(source, _LABEL_STUDIO)
    rows = []
    for number, task in enumerate(tasks, 1):
        place = f"task {task.get('id', number)}"
        data = _mapping(task, "data", place, _LABEL_STUDIO)
        for order, annotation in enumerate(_mappings(task, "annotations", place, _LABEL_STUDIO), 1):
            if not annotation.get("was_cancelled"):
                rows.append(_from_results(f"{place}, annotation {order}", data, annotation))
    return _collect(rows, labels, f"none of {len(tasks)} tasks has an annotation; label some, then {_LABEL_STUDIO}")


def _from_results(place: str, data: Mapping[str, Any], annotation: Mapping[str, Any]) -> Row:
    answers: dict[str, list[Any]] = {}
    for region in _mappings(annotation, "result", place, _LABEL_STUDIO):
        value = region.get("value") or {}  # a relation between two regions has none
        answers.setdefault(region.get("from_name", ""), []).extend(_listed(value.get("choices") or value.get("text")))
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

    Raises:
        InputError: Two votes on one pair are by the same annotator, or by none: Argilla keeps one of them.
    """
    tasks = _tasks(pairs)
    for pair, votes in tasks:
        _refuse_twice([vote.annotator for vote in votes], f"the pair that begins {pair.accusation[:60]!r}")
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
        for pair, votes in tasks
    ]


def _refuse_twice(people: Sequence[str], place: str) -> None:
    if twice := [name for name, n in Counter(people).items() if n > 1]:
        who = ", ".join(repr(name) if name else "nobody named" for name in twice)
        raise InputError(
            f"{place} has more than one vote by {who}, and Argilla has one for each person; keep one, or give each "
            "reader a name of their own"
        )


_NAMESPACE = uuid.UUID("5c1d7f5e-3f0e-5d7b-9a60-8f3f2b6f6a10")


def _user_id(annotator: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, annotator))


def _answer(vote: LabelledPair, value: Any) -> dict[str, Any]:
    return {"value": value, "user_id": _user_id(vote.annotator)}


def from_argilla(source: Any, *, labels: Sequence[str] | None = LABELS) -> list[LabelledPair]:
    """Read records of Argilla 2, as a path or as a list (``dataset.records.to_json`` or ``to_list(flatten=False)``).

    Raises:
        InputError: The export is of another kind, or has no response, or responses cannot be used; lists the problems
            of all of them.
    """
    records = _records(source, _ARGILLA)
    rows = []
    for number, record in enumerate(records, 1):
        place = f"record {record.get('id') or number}"
        fields, metadata = _mapping(record, "fields", place, _ARGILLA), record.get("metadata") or {}
        people = json.loads(metadata.get("annotators") or "{}")
        responses = _mapping(record, "responses", place, _ARGILLA)
        answers = {question: _answers(responses, question, place) for question in responses}
        primary, held = answers.get("primary", {}), answers.get("stances", {})
        for user in dict.fromkeys([*held, *primary, *(user for given in answers.values() for user in given)]):
            name, choice = people.get(user, user), primary.get(user, "")
            members = held.get(user) or choice
            rows.append(_rebuild(f"{place}, user {name}", fields, metadata, choice, members, name))
    return _collect(rows, labels, f"none of {len(records)} records has a response; label some, then {_ARGILLA}")


def _answers(responses: Mapping[str, Any], question: str, place: str) -> dict[str, Any]:
    """What each user answered to a question."""
    given = _mappings(responses, question, place, _ARGILLA) if responses[question] is not None else []
    if any(not answer.get("user_id") for answer in given):
        raise InputError(
            f"{place} has a response to {question!r} without a user_id, which says whose it is; {_ARGILLA}"
        )
    people = [str(answer["user_id"]) for answer in given]
    _refuse_twice(people, f"{place}, question {question!r},")
    return {user: answer.get("value") for user, answer in zip(people, given, strict=True)}


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
        InputError: There are no lines, or lines cannot be used; lists the problems of all of them.
    """
    rows = []
    for number, line in enumerate(_records(source, _DOCCANO), 1):
        tags = [str(tag) for tag in _listed(line.get("label"))]
        held = [tag for tag in tags if not tag.startswith(PRIMARY_MARK)]
        marked = [tag.removeprefix(PRIMARY_MARK) for tag in tags if tag.startswith(PRIMARY_MARK)]
        primary = marked[0] if len(marked) == 1 else held[0] if len(held) == 1 and not marked else ""
        texts = line if "accusation" in line and "response" in line else _parts(line.get("text"))
        members = [*held, *(name for name in marked if name not in held)]
        rows.append(_rebuild(f"line {number}", texts, line, primary, members, line.get("annotator") or annotator))
    return _collect(rows, labels, f"there are no lines; label some texts, then {_DOCCANO}")


def _parts(text: Any) -> dict[str, str | None]:
    shown = text if isinstance(text, str) else ""
    found = re.fullmatch(r"ACCUSATION\n(.*)\n\nRESPONSE\n(.*)", shown, flags=re.DOTALL)
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


def _records(source: Any, remedy: str) -> list[Mapping[str, Any]]:
    if isinstance(source, Mapping):
        raise InputError(f"one record was given, with {', '.join(map(repr, source))}; pass a list of them, or {remedy}")
    return [row.values for row in read_rows(source)]


def _part(record: Mapping[str, Any], name: str, place: str, remedy: str) -> Any:
    if name not in record:
        raise InputError(f"{place} has no {name!r}, only {', '.join(map(repr, record))}; {remedy}")
    return record[name]


def _mapping(record: Mapping[str, Any], name: str, place: str, remedy: str) -> Mapping[str, Any]:
    """A part of a record that holds named values; a record without it is of another kind of export."""
    part = _part(record, name, place, remedy)
    if not isinstance(part, Mapping):
        raise InputError(f"{place}: {name!r} is a {type(part).__name__}, not an object with named values; {remedy}")
    return part


def _mappings(record: Mapping[str, Any], name: str, place: str, remedy: str) -> list[Mapping[str, Any]]:
    """A part of a record that is a list of such objects."""
    part = _part(record, name, place, remedy)
    if not isinstance(part, (list, tuple)) or not all(isinstance(item, Mapping) for item in part):
        raise InputError(f"{place}: {name!r} is {str(part)[:60]!r}, not a list of objects; {remedy}")
    return list(part)


def _listed(value: Any) -> list[Any]:
    """One value or several, as a list."""
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
