"""The server behind the labelling page: loopback only, a token in the address, and nothing from anywhere else."""

from __future__ import annotations

import hmac
import os
import secrets
import socket
import threading
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stance.errors import InputError, MissingExtraError, StanceError
from stance.labelling.codebook import codebook
from stance.labelling.store import Conflict, Store, Vote
from stance.labels import LABELS

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

HOST = "127.0.0.1"
PAGE = Path(__file__).with_name("page.html")
CHANGED = "This pair was changed in another tab or window. What is saved is shown now; nothing was overwritten."


def serve(
    path: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str] | None = None,
    annotator: str = "",
    blind: bool = False,
    port: int = 0,
    open_browser: bool = True,
    model: Any = "default",
    labels: Sequence[str] = LABELS,
) -> Path:
    """Open the labelling page and wait until it is stopped with Ctrl-C; then write the labelled table.

    Every verdict is on disk, in ``*.votes.jsonl`` beside the output, before the next pair shows. Start again with the
    same arguments to go on.

    Args:
        path: The pairs: CSV, TSV, JSONL or Parquet with the columns ``accusation`` and ``response``.
        output: The labelled CSV, TSV or JSONL; ``<stem>.labelled.csv`` beside the pairs if ``None``.
        annotator: Who labels; two readers with two names may label one table, also at once.
        blind: Keep other readers' verdicts, and the model's until a pair is done, from this one.
        port: Where to listen; any free port if 0.
        open_browser: Whether to open the page; its address is printed in any case.
        model: Whose opinion may be asked for: a checkpoint's name or folder, or an open classifier.
        labels: The stances to choose from, nine at most; none is always offered beside them.

    Returns:
        The labelled table.

    Raises:
        InputError: The pairs, the votes or the labels cannot be used, the output is a file that this page did not write,
            or the port is taken or does not exist.
        MissingExtraError: starlette, uvicorn or filelock is not installed.
    """
    store = Store(path, output=output, annotator=annotator, blind=blind, labels=labels)
    server = LabellingServer(store, port=port, model=model)
    if gone := store.astray():
        print(
            f"Votes in {store.journal.path.name} on pairs that are not in {os.fspath(path)}: {gone}. Rows were removed or "
            "changed since; the page does not show them, and the finished ones are written with the rest.",
            flush=True,
        )
    print(
        f"Labelling {len(store)} pairs as {store.annotator}. Open\n\n  {server.address}\n\nCtrl-C ends it.", flush=True
    )
    if open_browser:
        threading.Timer(0.5, webbrowser.open, [server.address]).start()
    server.run()
    written = store.export()
    if marked := store.unfinished():
        print(
            f"Pairs that {store.annotator} marked and did not finish: {marked}. They are not in {written.name}; start "
            "again and press Enter on each.",
            flush=True,
        )
    return written


class LabellingServer:
    """One page for one reader, on a port of this machine.

    Args:
        store: The pairs and votes.
        port: Where to listen; any free port if 0.
        model: Whose opinion may be asked for.

    Attributes:
        address: Where the page is, token included.
    """

    def __init__(self, store: Store, *, port: int = 0, model: Any = "default") -> None:
        try:
            import uvicorn
        except ImportError:
            raise MissingExtraError("uvicorn", "label", "stance label") from None
        self._socket = _listen(port)
        self.port = self._socket.getsockname()[1]
        token = secrets.token_urlsafe(24)
        self.address = f"http://{HOST}:{self.port}/?token={token}"
        app = _Guard(create_app(store, model), token, self.port)
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", server_header=False)
        self._server = uvicorn.Server(config)

    def run(self) -> None:
        """Serve until stopped."""
        try:
            self._server.run(sockets=[self._socket])
        except KeyboardInterrupt:  # uvicorn has shut down by now and passes the signal on
            return

    def stop(self) -> None:
        """Make ``run`` return."""
        self._server.should_exit = True


def _listen(port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise InputError(f"there is no port {port}; choose one up to 65535, or 0 for any that is free")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()  # until it listens, SO_REUSEADDR lets another socket bind the same port
    except OSError as error:
        listener.close()
        raise InputError(f"cannot listen on port {port} ({error.strerror}); choose another, or 0 for any") from None
    return listener


class _Guard:
    """Lets in only who has the token, by this machine's own name, from this page."""

    def __init__(self, app: Any, token: str, port: int) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = {f"{HOST}:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        from starlette.datastructures import Headers, QueryParams
        from starlette.responses import PlainTextResponse

        headers = Headers(scope=scope)  # type: ignore[arg-type]
        given = headers.get("x-stance-token") or QueryParams(scope.get("query_string", b"")).get("token", "")
        origin = headers.get("origin")
        refusal = ""
        if headers.get("host") not in self._hosts:  # a foreign name that resolves to this machine
            refusal = "This address is not served here."
        elif origin is not None and origin.removeprefix("http://") not in self._hosts:
            refusal = "This page answers to itself alone."
        elif not hmac.compare_digest(given.encode(), self._token):
            refusal = "The token is missing or wrong. Open the address that the terminal shows."
        if refusal:
            await PlainTextResponse(refusal, status_code=403)(scope, receive, send)  # type: ignore[arg-type]
        else:
            await self._app(scope, receive, send)


def create_app(store: Store, model: Any = "default") -> Starlette:
    """The page and its five calls, without the guard."""
    try:
        from starlette.applications import Starlette
        from starlette.routing import Route
    except ImportError:
        raise MissingExtraError("starlette", "label", "stance label") from None
    calls = _Calls(store, model)

    def explain_file(request: Request, error: Exception) -> Response:
        return _json(
            status=500,
            message=f"Not saved: {error}. The votes are in {store.journal.path}; see that there is room on that disk and "
            "that its folder may be written to, and try again. All that was saved before is there.",
        )

    return Starlette(
        routes=[
            Route("/", calls.page),
            Route("/api/session", calls.session),
            Route("/api/items/{position:int}", calls.item, methods=["GET"]),
            Route("/api/items/{position:int}", calls.change, methods=["PUT"]),
            Route("/api/items/{position:int}/opinion", calls.opinion, methods=["POST"]),
            Route("/api/undo", calls.undo, methods=["POST"]),
            Route("/api/export", calls.export, methods=["POST"]),
        ],
        exception_handlers={StanceError: _explain, OSError: explain_file},
    )


def _explain(request: Request, error: Exception) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse({"message": str(error)}, status_code=400)


class _Calls:
    """What the page asks for. Plain functions: starlette runs them in threads, and the store takes turns."""

    def __init__(self, store: Store, model: Any) -> None:
        self._store = store
        self._model = model

    def page(self, request: Request) -> Response:
        from starlette.responses import HTMLResponse

        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        headers = {
            "Content-Security-Policy": policy,
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
        return HTMLResponse(PAGE.read_text(encoding="utf-8").replace("{{nonce}}", nonce), headers=headers)

    def session(self, request: Request) -> Response:
        store = self._store
        store.refresh()
        start = store.next_open(-1)
        return _json(
            annotator=store.annotator,
            blind=store.blind,
            total=len(store),
            labels=list(store.labels),
            codebook=codebook(store.labels),
            start=0 if start is None else start,
            **self._state(),
        )

    def item(self, request: Request) -> Response:
        self._store.refresh()
        return self._shown(self._position(request))

    async def change(self, request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        position = self._position(request)
        version, labels, done = await _body(request, version=(int,), labels=(list, type(None)), done=(bool,))
        try:
            await run_in_threadpool(self._store.change, position, version, labels, done=done)
        except Conflict:
            return self._shown(position, status=409, message=CHANGED)
        return self._shown(position)

    async def undo(self, request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        position, version = await _body(request, position=(int,), version=(int,))
        try:
            position, _ = await run_in_threadpool(self._store.undo, position, version)
        except Conflict:
            last = self._store.last_change()
            return self._shown(position if last is None else last[0], status=409, message=CHANGED)
        return self._shown(position)

    def opinion(self, request: Request) -> Response:
        from stance.api import open_model

        position = self._position(request)
        if self._store.blind and not self._store.vote(position).done:
            return _json(status=403, message="A blind reader sees the model's opinion once the pair is done.")
        pair = self._store.pair(position)
        prediction = open_model(self._model).classify(pair.accusation, pair.response)
        self._store.look(position)
        return _json(opinion=prediction.to_dict())

    def export(self, request: Request) -> Response:
        return _json(path=str(self._store.export()))

    def _position(self, request: Request) -> int:
        position: int = request.path_params["position"]
        if position >= len(self._store):
            raise InputError(f"there is no pair {position}; the table has {len(self._store)}")
        return position

    def _state(self) -> dict[str, Any]:
        return {
            "done": self._store.progress(),
            "agreement": self._store.agreement(),
            "last": self._store.last_change(),
        }

    def _shown(self, position: int, *, status: int = 200, message: str = "") -> Response:
        """One pair as this reader may see it."""
        store = self._store
        pair = store.pair(position)
        return _json(
            status=status,
            message=message,
            position=position,
            accusation=pair.accusation,
            response=pair.response,
            accused=pair.accused,
            document=pair.document_id,
            vote=_vote(store.vote(position)),
            others={who: _vote(vote) for who, vote in store.others(position).items()},
            next=store.next_open(position),
            **self._state(),
        )


async def _body(request: Request, **fields: tuple[type, ...]) -> list[Any]:
    """The named values of a JSON body, each of one of its types."""
    try:
        body = await request.json()
        values = [body[name] for name in fields]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"the request is no object with {', '.join(fields)}: {error!r}") from None
    for (name, types), value in zip(fields.items(), values, strict=True):
        if type(value) not in types:
            raise InputError(f"{name} is {value!r}, of a type that it cannot have")
    return values


def _vote(vote: Vote) -> dict[str, Any]:
    return {
        "version": vote.version,
        "labels": None if vote.labels is None else list(vote.labels),
        "done": vote.done,
    }


def _json(*, status: int = 200, **content: Any) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(content, status_code=status, headers={"Cache-Control": "no-store"})
