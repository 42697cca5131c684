"""Documents: files of every kind become text, bad ones a named error."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from stance import ledgers
from stance.documents import _joined, read_document, read_folder
from stance.errors import DocumentError, MissingExtraError
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


def _page(body: str, folder: Path) -> str:
    path = folder / "page.html"
    path.write_text(f"<html><body>{body}</body></html>", encoding="utf-8")
    return read_document(path).text


CARD = "<article>Read next: the bridge.</article>"
STORY = "Nordia accused Sudland of moving tanks, and Sudland denied it. " * 8


def test_the_article_with_the_most_text_is_the_story(tmp_path: Path) -> None:
    assert _page(f"{CARD}<article><p>{STORY}</p></article>", tmp_path) == STORY.strip()


def test_a_card_of_another_story_does_not_replace_one_that_stands_in_no_article(tmp_path: Path) -> None:
    assert STORY.strip() in _page(f"{CARD}<div>{STORY}</div>", tmp_path)


def test_a_form_around_the_page_stays_and_a_form_that_asks_goes(tmp_path: Path) -> None:
    found = _page(f"<form><form>Sign up</form></form><form><p>{STORY}</p></form><form>Search here</form>", tmp_path)
    assert found == STORY.strip()


@pytest.mark.parametrize("name", ["a.html", "a.md"])
def test_a_file_out_of_which_no_text_comes_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("<nav>Home</nav>" if name == "a.html" else "```\ncode\n```\n")
    with pytest.raises(DocumentError, match=f"{name} holds no text"):
        read_document(path)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<p>Nordia accused <b>Sudland</b></p>It denied.", "Nordia accused Sudland\nIt denied."),
        ("<div>One <i>and</i> <a><b>two</b></a>.<p>Three.</p>Four.</div>", "One and two.\nThree.\nFour."),
        ("<div>One.<br>Two.<p></p>Three.</div>", "One.\nTwo.\nThree."),
        ("<table><tr><td>One</td><td>two</td></tr></table>", "One\ntwo"),
    ],
)
def test_what_stands_in_two_blocks_is_never_glued(body: str, text: str, tmp_path: Path) -> None:
    assert _page(body, tmp_path) == text


@pytest.mark.parametrize("name", ["option", "dt", "dd", "th", "source", "wbr", "col"])
def test_elements_that_need_no_end_do_not_count_as_depth(name: str, tmp_path: Path) -> None:
    opened = f"<{name}>" * 500
    assert _page(f"{opened}<ul><li>One</li><li>Two</li></ul>", tmp_path) == "One\nTwo"


def test_a_script_in_the_depths_stays_a_script(tmp_path: Path) -> None:
    found = _page("<div>" * 500 + "<script>var secret = 1;</script>Nordia lied.", tmp_path)
    assert found == "Nordia lied."


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.md", "[" * 200_000 + "."),
        ("b.md", "*a *b " * 30_000),
        ("c.md", "```a\nword\n" * 15_000),
        ("d.md", "# a" + " " * 60_000 + "b"),
        ("e.html", "<p>" + "<b>x</b>" * 3_000 + "</p>"),
    ],
)
def test_a_long_file_of_marks_is_read_in_seconds(name: str, content: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content)
    start = time.process_time()
    assert read_document(path).text
    assert time.process_time() - start < 10


def test_a_long_run_of_blanks_in_a_page_is_joined_in_seconds() -> None:
    blanks = " \t" * 40_000
    start = time.process_time()
    assert _joined(f"One{blanks}two{blanks}\nthree. \nFour") == f"One{blanks}two three.\nFour"
    assert time.process_time() - start < 5


def test_markdown_may_break_the_line_within_a_link_and_nest_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "note.md"
    path.write_text("## Berg ##\n# Why #\n**Nordia *did* it**, [says\nBerg](http://x). `a` [![alt](i.png)](http://y)\n")
    found = read_document(path)
    assert found.title == "Why"
    assert found.text.endswith("Nordia did it, says\nBerg. a ")


def test_an_encoding_is_told_by_the_bytes_that_are_not_ascii_however_late_they_come(tmp_path: Path) -> None:
    path = tmp_path / "late.txt"
    words = "Nordia accused Sudland of lying. " * 7_000 + "„Das ist falsch“, sagte Jörg Müller – kein Wort sei wahr."
    path.write_bytes(words.encode("cp1252"))
    assert read_document(path).text == words


def test_a_date_in_words_is_not_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("<meta name='date' content='2 September 2031'><p>Nordia lied.</p>")
    assert read_document(path).date == "2 September 2031"


def test_a_kind_of_file_that_nothing_installed_reads_is_reported_and_the_next_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(source: str) -> Document:
        if source == "bad":
            raise MissingExtraError("pypdf", "documents", "reading bad.pdf")
        return Document(text=source)

    monkeypatch.setattr(ledgers, "read_document", read)
    monkeypatch.setattr(ledgers, "open_model", lambda model: model)
    monkeypatch.setattr(ledgers, "_ledger", lambda document, model: SimpleNamespace(document=document))
    trouble: list[str] = []
    found = list(ledgers.analyze(["one", "bad", "two"], report=lambda source, error: trouble.append(str(error))))
    assert [ledger.document.text for ledger in found] == ["one", "two"]
    assert len(trouble) == 1 and "pypdf" in trouble[0]
