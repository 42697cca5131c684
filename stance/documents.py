"""Files -> Documents: plain text, Markdown, HTML and PDF in any encoding; a bad file is named, never guessed at."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from stance.errors import DocumentError, MissingExtraError
from stance.records import Document

SUFFIXES = (".txt", ".text", ".md", ".markdown", ".html", ".htm", ".xhtml", ".pdf")
"""Files that ``read_folder`` takes; ``read_document`` reads any other as plain text."""

MAX_BYTES = 64 * 1024 * 1024
"""A larger file is refused."""

_DROPPED = (
    "script", "style", "noscript", "template", "svg", "nav", "footer", "form", "button", "iframe", "select", "aside",
    "figure",     "object", "embed", "head", "textarea", "input", "dialog",
)  # fmt: skip
_BLOCKS_LIST = """
    p div section article main header h1 h2 h3 h4 h5 h6 li ul ol blockquote pre table tr td th dl dt dd br hr
    address body
"""
_BLOCKS = frozenset(_BLOCKS_LIST.split())
_DATES = ("article:published_time", "date", "dc.date", "datepublished", "pubdate", "publish-date", "parsely-pub-date")
_MAX_DEPTH = 400


def read_document(source: str | os.PathLike[str] | Document) -> Document:
    """Read one document.

    Args:
        source: A ``Document`` is given back as it is; a ``Path`` is read by its suffix (``.txt``, ``.md``, ``.html``,
            ``.pdf``); a ``str`` is the text itself, never a path.

    Raises:
        DocumentError: The file is missing, empty, binary, too large or damaged, or no text can be got out of it.
        MissingExtraError: The package that reads this kind of file is not installed.
    """
    if isinstance(source, Document):
        return _checked(source, source.id or "the document")
    if isinstance(source, str):
        return _checked(Document(text=source), "the text")
    if not isinstance(source, os.PathLike):
        raise DocumentError(f"a document is a text, a Path or a stance.Document, not a {type(source).__name__}")
    path = Path(source)
    content = _content(path)
    suffix = path.suffix.lower()
    if suffix == ".pdf" or content.startswith(b"%PDF-"):
        found = _from_pdf(content, path)
    elif suffix in (".html", ".htm", ".xhtml"):
        found = _from_html(_decoded(content, path), path)
    elif suffix in (".md", ".markdown"):
        found = _from_markdown(_decoded(content, path))
    else:
        found = Document(text=_decoded(content, path))
    return _checked(replace(found, id=found.id or path.stem), str(path))


def read_folder(folder: str | os.PathLike[str], *, report: Callable[[Path, Exception], Any]) -> Iterator[Document]:
    """Read the documents of a folder and of those below it, in order of their names, one at a time.

    Args:
        folder: The folder.
        report: Called with each file that cannot be read and the reason; the next one follows.

    Raises:
        DocumentError: The folder is missing, or holds no file of a kind in ``SUFFIXES``.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DocumentError(f"no folder at {root}")
    paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    if not paths:
        raise DocumentError(f"{root} holds no document; files that end in {', '.join(SUFFIXES)} are read")
    return _each(root, paths, report)


def _each(root: Path, paths: list[Path], report: Callable[[Path, Exception], Any]) -> Iterator[Document]:
    for path in paths:
        try:
            document = read_document(path)
        except (DocumentError, MissingExtraError) as error:
            report(path, error)
            continue
        yield replace(document, id=path.relative_to(root).with_suffix("").as_posix())


def _content(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise DocumentError(f"{path} is a folder; read it with read_folder, or stance.analyze(Path(...))")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DocumentError(
                f"{path} is {size / 1e6:.0f} MB; the most that is read is {MAX_BYTES / 1e6:.0f}. Cut it up first"
            )
        content = path.read_bytes()
    except OSError as error:
        raise DocumentError(f"{path} cannot be read: {error.strerror or error}") from error
    if not content.strip():
        raise DocumentError(f"{path} is empty")
    return content


def _decoded(content: bytes, path: Path) -> str:
    """Bytes -> text: by byte order mark, as UTF-8, else by what charset-normalizer finds likeliest."""
    for mark, name in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            try:
                return content.decode(name)
            except UnicodeDecodeError as error:
                raise DocumentError(
                    f"{path} begins as {name} and breaks at byte {error.start}: it is damaged"
                ) from error
    if b"\x00" in content[:4096]:
        raise DocumentError(f"{path} is binary, not text; export it as text, HTML or PDF")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        raise MissingExtraError(
            "charset-normalizer", "documents", f"{path} is not UTF-8; finding its encoding"
        ) from None
    best = from_bytes(content[:200_000]).best()
    if best is None:
        raise DocumentError(f"{path} is in no encoding that can be told; convert it to UTF-8")
    return content.decode(best.encoding, errors="replace")


def _from_html(markup: str, path: Path) -> Document:
    try:
        from bs4 import BeautifulSoup
    except ImportError:
        raise MissingExtraError("beautifulsoup4", "documents", f"reading {path.name}") from None
    try:
        soup = BeautifulSoup(_shallow(markup), "html.parser")
        title = _title(soup)
        meta = {
            str(m.get("property") or m.get("name") or "").lower(): str(m.get("content") or "")
            for m in soup.find_all("meta")
        }
        language = str(soup.html.get("lang") or "en")[:2].lower() if soup.html else "en"
        for tag in soup.find_all(_DROPPED):
            tag.decompose()
        for tag in soup.find_all(attrs={"hidden": True}):
            tag.decompose()
        text = _text_of(soup.find("article") or soup.find("main") or soup.body or soup)
    except RecursionError:
        raise DocumentError(f"{path} nests its elements too deep to be read") from None
    date = next((meta[key] for key in _DATES if meta.get(key)), "")[:10]
    return Document(text=text, title=title, date=date, outlet=meta.get("og:site_name", ""), language=language or "en")


def _shallow(markup: str) -> str:
    """Drop opening tags that nest absurdly deep, so that hostile pages cannot exhaust the stack."""
    if markup.count("<") < _MAX_DEPTH:
        return markup
    depth, kept, at = 0, [], 0
    for match in re.finditer(r"<(/?)([a-zA-Z][\w-]*)[^<>]*?(/?)>", markup):
        if match.group(2).lower() in ("br", "img", "meta", "link", "input", "hr", "p", "li", "td", "tr") or match.group(
            3
        ):
            continue
        depth = max(0, depth - 1) if match.group(1) else depth + 1
        if depth > _MAX_DEPTH and not match.group(1):
            kept.append(markup[at : match.start()])
            at = match.end()
    kept.append(markup[at:])
    return "".join(kept)


def _title(soup: Any) -> str:
    for found in (soup.find("meta", property="og:title"), soup.title, soup.find("h1")):
        if found is not None:
            words = found.get("content") or found.get_text(" ")
            if words and str(words).strip():
                return " ".join(str(words).split())
    return ""


def _text_of(root: Any) -> str:
    """The text of an element, one line for each block."""
    from bs4.element import NavigableString, PreformattedString, Tag

    pieces: list[str] = []
    for node in root.descendants:
        if isinstance(node, Tag) and node.name in _BLOCKS:
            pieces.append("\n")
        elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString):
            pieces.append(re.sub(r"\s+", " ", str(node)))
            following = node.next_element
            if (
                isinstance(node.parent, Tag)
                and node.parent.name in _BLOCKS
                and (following is None or following not in node.parent.descendants)
            ):
                pieces.append("\n")
    lines = (" ".join(line.split()) for line in "".join(pieces).split("\n"))
    return "\n".join(line for line in lines if line)


def _from_markdown(text: str) -> Document:
    """Strip the marks of Markdown; a first heading or a front matter gives title, date and outlet."""
    facts: dict[str, str] = {}
    if match := re.match(r"---\s*\n(.*?)\n---\s*\n", text, re.S):
        facts = dict(re.findall(r"^(\w+):[ \t]*[\"']?(.*?)[\"']?[ \t]*$", match.group(1), re.M))
        text = text[match.end() :]
    heading = re.search(r"^#\s+(.+?)\s*#*$", text, re.M)
    text = re.sub(r"^```.*?^```\s*$", "", text, flags=re.M | re.S)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"^[ \t]{0,3}(?:#{1,6}|>|[-*+]|\d+\.)[ \t]+", "", text, flags=re.M)
    text = re.sub(r"(\*\*|__|\*|`)(?=\S)(.+?)(?<=\S)\1", r"\2", text)
    title = facts.get("title") or (heading.group(1) if heading else "")
    return Document(text=text.strip("\n"), title=title, date=facts.get("date", ""), outlet=facts.get("outlet", ""))


def _from_pdf(content: bytes, path: Path) -> Document:
    try:
        from pypdf import PdfReader
        from pypdf.errors import PyPdfError
    except ImportError:
        raise MissingExtraError("pypdf", "documents", f"reading {path.name}") from None
    import io

    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise DocumentError(f"{path} is locked with a password; unlock it first")
        pages = [page.extract_text() or "" for page in reader.pages]
        about = reader.metadata or {}
        title, date = str(about.get("/Title") or ""), str(about.get("/CreationDate") or "")
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OSError) as error:
        raise DocumentError(f"{path} is no readable PDF: {type(error).__name__}: {error}") from error
    text = "\n".join(_joined(page) for page in pages)
    if not text.strip():
        raise DocumentError(f"{path} holds no text, perhaps scanned pages only; run it through text recognition first")
    made = re.match(r"D:(\d{4})(\d\d)(\d\d)", date)
    return Document(text=text, title=title, date="-".join(made.groups()) if made else "")


def _joined(page: str) -> str:
    """Join the lines of a page that a full stop or a blank line does not end; mend words cut by a hyphen."""
    page = re.sub(r"(\w)[-\u00ad]\n(?=[a-z])", r"\1", page)
    return re.sub(r"(?<![.!?:\"”’\n])[ \t]*\n(?=[^\n])", " ", page)


def _checked(document: Document, name: str) -> Document:
    """Refuse what holds no words or cannot be written as Unicode."""
    text = document.text
    if not isinstance(text, str):
        raise DocumentError(f"{name}: its text is a {type(text).__name__}, not a string")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DocumentError(
            f"{name} holds a lone surrogate at character {error.start}; decode its source as UTF-8"
        ) from None
    if text.strip() and text.count("\x00") * 50 > len(text):
        raise DocumentError(f"{name} is binary, not text")
    return document
