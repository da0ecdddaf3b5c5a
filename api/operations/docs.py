"""Swagger UI and ReDoc over each family's document, from files of ours (no CDN), and the documents.

`/api-docs` begins with the first family, `/api/docs/` and `/api/redoc/` with Lithovolt, whose paths they are
(LI-018, LI-019, conflict C03). `/openapi.json` is the whole, `/api-docs/<family>.json` each part, and
`/api/schema/` Lithovolt's part again; `/api-docs/<family>.postman_collection.json` is a Postman collection of
each (IE-X08). They are made when first asked for.
"""

import json
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Annotated, Any

import fastapi_offline
from fastapi import FastAPI, Header, Query
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from api.document import JsonObject, Part, part_of, refine
from api.postman import collection_of

DOCS_PATH = "/api-docs"
WHOLE_PATH = "/openapi.json"
FILES_PATH = f"{DOCS_PATH}/files"
FAMILY = "lithovolt"
SWAGGER_PATH, REDOC_PATH, SCHEMA_PATH = "/api/docs/", "/api/redoc/", "/api/schema/"
_FILES = Path(fastapi_offline.__file__).parent / "static"
# Pages may load nothing from elsewhere: ReDoc's own badge would. It compiles its checks, too, and searches in
# a worker.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; font-src 'self' data:; worker-src blob:"
)
# JSON is YAML too (YAML 1.2 section 1.3): whoever asks for YAML gets the same text, under that name.
_YAML = "application/yaml"
_COLLECTION = ".postman_collection.json"
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="{files}/swagger-ui.css">
<link rel="icon" href="{files}/favicon.png">
<style>
nav {{ font: 16px sans-serif; padding: 12px 20px; background: #1b1b1b; color: white }}
nav a {{ color: white; margin-left: 16px }}
</style>
</head>
<body>
<nav>
<label>{title}: <select id="family">{options}</select></label>
<a id="postman">Postman collection</a>
</nav>
<div id="document"></div>
<script src="{files}/{script}"></script>
<script>
const family = document.getElementById("family");
const wanted = new URLSearchParams(location.search).get("family") ?? "{selected}";
if ([...family.options].some((each) => each.value === wanted)) family.value = wanted;
const url = `{docs}/${{family.value}}.json`;
document.getElementById("postman").href = `{docs}/${{family.value}}{collection}`;
{show}
family.addEventListener("change", () => {{ location.search = `?family=${{family.value}}`; }});
</script>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class _Reader:
    """A program that shows a document: its file, and how it is told to."""

    script: str
    show: str


_SWAGGER = _Reader(
    "swagger-ui-bundle.js",
    """SwaggerUIBundle({
  url,
  dom_id: "#document",
  deepLinking: true,
  docExpansion: "none",
  persistAuthorization: true,
  validatorUrl: null,
});""",
)
_REDOC = _Reader(
    "redoc.standalone.js",
    """Redoc.init(url, {nativeScrollbars: true}, document.getElementById("document"));""",
)


class _Documents:
    """The documents as JSON, each made once. Who asks first waits in a thread, and nobody else does."""

    def __init__(self, app: FastAPI, parts: Sequence[Part]) -> None:
        self._make = app.openapi
        self._parts = {each.slug: each for each in parts}
        self._whole: JsonObject | None = None
        self._bodies: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def whole(self) -> JsonObject:
        with self._lock:
            if self._whole is None:
                self._whole = refine(self._make())
            return self._whole

    def body(self, slug: str | None) -> bytes:
        """A part's document, or of None the whole."""
        return self._made(
            slug or "", lambda: self.whole() if slug is None else part_of(self.whole(), self._parts[slug])
        )

    def collection(self, slug: str) -> bytes:
        """A part's Postman collection."""
        part = self._parts[slug]
        return self._made(f"{slug} postman", lambda: collection_of(part_of(self.whole(), part), part.logins))

    def _made(self, key: str, make: Callable[[], JsonObject]) -> bytes:
        if key not in self._bodies:
            self._bodies[key] = json.dumps(make(), ensure_ascii=False, separators=(",", ":")).encode()
        return self._bodies[key]


def install(app: FastAPI, parts: Sequence[Part]) -> None:
    """Serve the pages, their files and the documents."""
    documents = _Documents(app, parts)
    app.openapi = documents.whole  # type: ignore[method-assign]  # the framework's own way to change it
    pages = (
        (DOCS_PATH, _SWAGGER, parts[0].slug),
        (SWAGGER_PATH, _SWAGGER, FAMILY),
        (REDOC_PATH, _REDOC, FAMILY),
    )
    for path, reader, slug in pages:
        _add(app, path, _page(_text(app.title, parts, reader, slug)))
    for path, part in ((WHOLE_PATH, None), *((f"{DOCS_PATH}/{each.slug}.json", each.slug) for each in parts)):
        _add(app, path, _document(documents, part))
    for each in parts:
        _add(app, f"{DOCS_PATH}/{each.slug}{_COLLECTION}", _collection(documents, each.slug))
    _add(app, SCHEMA_PATH, _schema(documents))
    app.mount(FILES_PATH, StaticFiles(directory=_FILES))


def _text(title: str, parts: Sequence[Part], reader: _Reader, selected: str) -> str:
    options = "".join(f'<option value="{each.slug}">{escape(each.title)}</option>' for each in parts)
    return _PAGE.format(
        title=escape(title),
        files=FILES_PATH,
        docs=DOCS_PATH,
        collection=_COLLECTION,
        options=options,
        selected=selected,
        script=reader.script,
        show=reader.show,
    )


def _page(text: str) -> Callable[[], Awaitable[Response]]:
    async def page() -> Response:
        return HTMLResponse(text, headers={"Content-Security-Policy": _POLICY})

    return page


def _document(documents: _Documents, slug: str | None) -> Callable[[], Response]:
    def document() -> Response:
        return Response(documents.body(slug), media_type="application/json")

    return document


def _collection(documents: _Documents, slug: str) -> Callable[[], Response]:
    headers = {"Content-Disposition": f'attachment; filename="gridwire-{slug}{_COLLECTION}"'}

    def collection() -> Response:
        return Response(documents.collection(slug), media_type="application/json", headers=headers)

    return collection


def _schema(documents: _Documents) -> Callable[..., Response]:
    def schema(
        accept: Annotated[str, Header()] = "", wanted: Annotated[str, Query(alias="format")] = ""
    ) -> Response:
        is_yaml = wanted == "yaml" or (wanted == "" and "yaml" in accept)
        return Response(documents.body(FAMILY), media_type=_YAML if is_yaml else "application/json")

    return schema


def _add(app: FastAPI, path: str, endpoint: Callable[..., Any]) -> None:
    app.add_api_route(path, endpoint, include_in_schema=False, response_model=None)
