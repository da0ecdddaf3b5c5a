"""/api-docs: Swagger UI over each family's document, from files of ours (no CDN), and the documents.

`/openapi.json` is the whole, `/api-docs/<family>.json` each part. They are made when first asked for.
"""

import json
import threading
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import FastAPI
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from api.document import JsonObject, Part, part_of, refine

DOCS_PATH = "/api-docs"
WHOLE_PATH = "/openapi.json"
FILES_PATH = f"{DOCS_PATH}/files"
_FILES = Path(fastapi_offline.__file__).parent / "static"
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="{files}/swagger-ui.css">
<link rel="icon" href="{files}/favicon.png">
<style>nav {{ font: 16px sans-serif; padding: 12px 20px; background: #1b1b1b; color: white }}</style>
</head>
<body>
<nav><label>{title}: <select id="family">{options}</select></label></nav>
<div id="swagger-ui"></div>
<script src="{files}/swagger-ui-bundle.js"></script>
<script>
const family = document.getElementById("family");
const wanted = new URLSearchParams(location.search).get("family");
if ([...family.options].some((each) => each.value === wanted)) family.value = wanted;
const show = () => SwaggerUIBundle({{
  url: `{docs}/${{family.value}}.json`,
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "none",
  persistAuthorization: true,
}});
family.addEventListener("change", () => {{
  history.replaceState(null, "", `?family=${{family.value}}`);
  show();
}});
show();
</script>
</body>
</html>
"""


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
        key = slug or ""
        if key not in self._bodies:
            document = self.whole() if slug is None else part_of(self.whole(), self._parts[slug])
            self._bodies[key] = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return self._bodies[key]


def install(app: FastAPI, parts: Sequence[Part]) -> None:
    """Serve the page, its files and the documents."""
    documents = _Documents(app, parts)
    app.openapi = documents.whole  # type: ignore[method-assign]  # the framework's own way to change it
    options = "".join(f'<option value="{each.slug}">{escape(each.title)}</option>' for each in parts)
    text = _PAGE.format(title=escape(app.title), files=FILES_PATH, docs=DOCS_PATH, options=options)

    def serve(path: str, slug: str | None) -> None:
        def document() -> Response:
            return Response(documents.body(slug), media_type="application/json")

        _add(app, path, document)

    async def page() -> HTMLResponse:
        return HTMLResponse(text)

    _add(app, DOCS_PATH, page)
    serve(WHOLE_PATH, None)
    for each in parts:
        serve(f"{DOCS_PATH}/{each.slug}.json", each.slug)
    app.mount(FILES_PATH, StaticFiles(directory=_FILES))


def _add(app: FastAPI, path: str, endpoint: Any) -> None:
    app.add_api_route(path, endpoint, include_in_schema=False, response_model=None)
