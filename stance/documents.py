"""Files -> Documents: plain text, Markdown, HTML and PDF in any encoding; a file that cannot be read is named."""

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
    "script", "style", "noscript", "template", "svg", "nav", "footer", "button", "iframe", "select", "aside",
    "figure", "object", "embed", "head", "textarea", "input", "dialog",
)  # fmt: skip
_BLOCKS_LIST = """
    p div section article main header h1 h2 h3 h4 h5 h6 li ul ol blockquote pre table tr td th dl dt dd br hr
    address body form details summary fieldset legend caption
"""
_BLOCKS = frozenset(_BLOCKS_LIST.split())
_DATES = ("article:published_time", "date", "dc.date", "datepublished", "pubdate", "publish-date", "parsely-pub-date")
_MAX_DEPTH = 400
_UNNESTED_LIST = """
    area base br col embed hr img input link meta param source track wbr p li td th tr dt dd option
"""
_UNNESTED = frozenset(_UNNESTED_LIST.split())
"""Elements without an end tag, or whose end tag may be left out: they say nothing of the depth."""

_FORM_OF_TEXT = 400  # characters; a longer form wraps the page, a shorter one asks for something
_SHARE_OF_ARTICLE = 0.1  # of the page's text; below it an article is the card of another story


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
        found = _from_html(decoded(content, path), path)
    elif suffix in (".md", ".markdown"):
        found = _from_markdown(decoded(content, path))
    else:
        found = Document(text=decoded(content, path))
    if not found.text.strip():
        raise DocumentError(f"{path} holds no text; look at it in a browser or an editor, and hand its text over")
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


def decoded(content: bytes, path: Path | str) -> str:
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
    except UnicodeDecodeError as error:
        strange = error.start
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        raise MissingExtraError(
            "charset-normalizer", "documents", f"{path} is not UTF-8; finding its encoding"
        ) from None
    best = from_bytes(content[max(0, strange - 200) : strange + 200_000]).best()  # what goes before is ASCII or nearly
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
        for form in soup.find_all("form"):
            if len(form.get_text()) <= _FORM_OF_TEXT:
                form.decompose()
        text = _text_of(_story(soup))
    except RecursionError:
        raise DocumentError(f"{path} nests its elements too deep to be read") from None
    date = next((meta[key] for key in _DATES if meta.get(key)), "")
    date = date[:10] if re.match(r"\d{4}-\d\d-\d\d", date) else date
    return Document(text=text, title=title, date=date, outlet=meta.get("og:site_name", ""), language=language or "en")


def _shallow(markup: str) -> str:
    """Drop opening tags that nest absurdly deep, so that hostile pages cannot exhaust the stack."""
    if markup.count("<") < _MAX_DEPTH:
        return markup
    depth, kept, at = 0, [], 0
    for match in re.finditer(r"<(/?)([a-zA-Z][\w-]*)[^<>]*?(/?)>", markup):
        name = match.group(2).lower()
        if name in _UNNESTED or match.group(3):
            continue
        depth = max(0, depth - 1) if match.group(1) else depth + 1
        # without its opening tag, what a script or a menu holds would be read as text
        if depth > _MAX_DEPTH and not match.group(1) and name not in _DROPPED:
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


def _story(soup: Any) -> Any:
    """The element that holds the story: the article with the most text, else the main part, else the body."""
    whole = soup.find("main") or soup.body or soup
    articles = [article for article in soup.find_all("article") if article.find_parent("article") is None]
    sizes = [len(article.get_text()) for article in articles]
    if not sizes or max(sizes) < _SHARE_OF_ARTICLE * len(whole.get_text()):
        return whole
    return articles[sizes.index(max(sizes))]


def _text_of(root: Any) -> str:
    """The text of an element, one line for each stretch that stands in one block."""
    from bs4.element import NavigableString, PreformattedString, Tag

    blocks = {id(root): root}  # element -> the nearest block around it
    pieces: list[str] = []
    last = root
    for node in root.descendants:
        if isinstance(node, Tag):
            blocks[id(node)] = node if node.name in _BLOCKS else blocks[id(node.parent)]
            if node.name in _BLOCKS:
                last = None  # an empty block, such as br, parts what stands around it
        elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString):
            block = blocks[id(node.parent)]
            if block is not last:
                pieces.append("\n")
            pieces.append(re.sub(r"\s+", " ", str(node)))
            last = block
    lines = (" ".join(line.split()) for line in "".join(pieces).split("\n"))
    return "\n".join(line for line in lines if line)


def _from_markdown(text: str) -> Document:
    """Strip the marks of Markdown; a first heading or a front matter gives title, date and outlet."""
    facts: dict[str, str] = {}
    # no pattern reads on without an end: a megabyte of "[" or "*" takes no longer than any other
    if match := re.match(r"---[ \t]*\n(.*?)\n---[ \t]*\n", text, re.S):
        facts = {key: value.strip().strip("\"'") for key, value in re.findall(r"^(\w+):(.*)$", match.group(1), re.M)}
        text = text[match.end() :]
    heading = re.search(r"^#[ \t]+(\S.*)$", text, re.M)
    text = "".join(re.split(r"^```[^`\n]*$", text, flags=re.M)[::2])
    text = re.sub(r"!\[[^\]\[]{0,500}\]\([^)\[]{0,2000}\)", "", text)
    text = re.sub(r"\[([^\]\[]{0,500})\]\([^)\[]{0,2000}\)", r"\1", text)
    text = re.sub(r"^[ \t]{0,3}(?:#{1,6}|>|[-*+]|\d+\.)[ \t]+", "", text, flags=re.M)
    for mark in (r"\*\*", "__", r"\*", "`"):
        text = re.sub(rf"{mark}(?=\S)((?:(?!{mark}).)++)(?<=\S){mark}", r"\1", text)
    title = facts.get("title") or (heading.group(1).rstrip().rstrip("#").rstrip() if heading else "")
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
    page = "\n".join(line.rstrip(" \t") for line in page.split("\n"))
    return re.sub(r"(?<![.!?:\"”’\n])\n(?=[^\n])", " ", page)


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
