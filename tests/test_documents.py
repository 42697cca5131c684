"""Documents: files of every kind become text, bad ones a named error."""

from __future__ import annotations

from pathlib import Path

import pytest

from stance.documents import read_document, read_folder
from stance.errors import DocumentError
from stance.records import Document

PAGE = """<!doctype html><html lang="en-GB"><head><title>Berg denies it</title>
<meta property="article:published_time" content="2031-05-02T08:00:00Z">
<meta property="og:site_name" content="The Fable">
<style>p{color:red}</style><script>var a = "<p>not text</p>";</script></head>
<body><nav><a href="/">Home</a></nav><article><h1>Berg denies it</h1><p>Nordia &amp; Sudland <b>quarrel</b>.</p>
<p>“Not one tank,” said Ada&nbsp;Berg.</p><!-- a comment --><p hidden>secret</p></article>
<footer>Donate</footer></body></html>"""


def _pdf(words: str) -> bytes:
    stream = f"BT /F1 12 Tf 72 720 Td ({words}) Tj ET".encode("latin-1")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 "
        b"R >> >> >>",
        b"<< /Length " + str(len(stream)).encode() + b" >>\nstream\n" + stream + b"\nendstream",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    body, places = b"%PDF-1.4\n", []
    for i, content in enumerate(objects, 1):
        places.append(len(body))
        body += f"{i} 0 obj\n".encode() + content + b"\nendobj\n"
    table = b"xref\n0 6\n0000000000 65535 f \n" + b"".join(f"{p:010} 00000 n \n".encode() for p in places)
    return body + table + b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n" + str(len(body)).encode() + b"\n%%EOF\n"


def test_a_string_is_the_text_even_where_a_file_has_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("inside")
    monkeypatch.chdir(tmp_path)
    assert read_document("a.txt").text == "a.txt"
    assert read_document(Path("a.txt")).text == "inside"


def test_a_document_comes_back_as_it_is() -> None:
    given = Document(text="Berg denied it.", id="x")
    assert read_document(given) is given


def test_a_web_page_loses_its_menus_and_keeps_title_date_and_outlet(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(PAGE, encoding="utf-8")
    found = read_document(path)
    assert found.text == "Berg denies it\nNordia & Sudland quarrel.\n“Not one tank,” said Ada Berg."
    assert (found.title, found.date, found.outlet, found.language) == (
        "Berg denies it",
        "2031-05-02",
        "The Fable",
        "en",
    )


@pytest.mark.parametrize(
    "hostile",
    [
        "<div>" * 50_000 + "Nordia lied." + "</div>" * 50_000,
        "<script>" * 2000 + "x",
        "<p>Nordia lied.<table><tr><td>" * 300,
        "<![CDATA[ <p>x ]]> <p>Nordia lied.",
    ],
)
def test_hostile_markup_gives_a_document_or_a_named_error(hostile: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text(hostile)
    try:
        assert "<script" not in read_document(path).text
    except DocumentError as error:
        assert "bad.html" in str(error)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_any_common_encoding_is_read(encoding: str, tmp_path: Path) -> None:
    words = "“Das stimmt nicht”, sagte Jörg Müller über die Vorwürfe – kein Wort sei wahr, so Müller später in Köln."
    path = tmp_path / "a.txt"
    path.write_bytes(words.encode(encoding))
    assert read_document(path).text == words


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"  \n ", "empty"), (b"\x7fELF\x00\x01\x00\x00" * 20, "binary"), (b"\xff\xfea", "damaged")],
)
def test_what_is_no_text_is_refused_by_name(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.txt"
    path.write_bytes(content)
    with pytest.raises(DocumentError, match=f"odd.txt.*{reason}"):
        read_document(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"gone\.txt cannot be read"):
        read_document(tmp_path / "gone.txt")
    with pytest.raises(DocumentError, match="is a folder"):
        read_document(tmp_path)


def test_a_lone_surrogate_and_a_wrong_type_are_refused() -> None:
    with pytest.raises(DocumentError, match="surrogate"):
        read_document("Berg \ud800 denied it")
    with pytest.raises(DocumentError, match="not a int"):
        read_document(3)  # type: ignore[arg-type]


def test_markdown_loses_its_marks_and_gives_its_title(tmp_path: Path) -> None:
    path = tmp_path / "note.md"
    path.write_text(
        "---\ndate: 2031-05-02\n---\n# Berg denies it\n\n**Nordia** [accused](http://x) Sudland.\n\n> Not so.\n"
    )
    found = read_document(path)
    assert found.text == "Berg denies it\n\nNordia accused Sudland.\n\nNot so."
    assert (found.title, found.date) == ("Berg denies it", "2031-05-02")


def test_a_pdf_is_read_and_a_broken_one_is_named(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.pdf", tmp_path / "bad.pdf"
    good.write_bytes(_pdf("Nordia accused Sudland."))
    bad.write_bytes(b"%PDF-1.4 and then nothing")
    assert read_document(good).text.strip() == "Nordia accused Sudland."
    with pytest.raises(DocumentError, match=r"bad\.pdf"):
        read_document(bad)


def test_one_bad_file_in_a_folder_is_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    for i in range(5):
        (tmp_path / f"{i}.txt").write_text(f"Text {i}.")
    (tmp_path / "2.txt").write_bytes(b"\x00" * 100)
    (tmp_path / "note.xyz").write_text("not a kind that is read")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "9.txt").write_text("Text 9.")
    trouble: list[str] = []
    found = list(read_folder(tmp_path, report=lambda path, error: trouble.append(path.name)))
    assert [d.id for d in found] == ["0", "1", "3", "4", "deep/9"]
    assert trouble == ["2.txt"]


def test_a_folder_without_documents_is_named(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="holds no document"):
        read_folder(tmp_path, report=lambda *_: None)
