"""/api-docs: Swagger UI over the one document of all families, from files of ours: no CDN."""

from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

DOCS_PATH = "/api-docs"
FILES_PATH = f"{DOCS_PATH}/files"
_FILES = Path(fastapi_offline.__file__).parent / "static"


def install(app: FastAPI) -> None:
    """Serve the page and its files."""
    openapi_url = app.openapi_url
    assert openapi_url is not None

    async def page() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=openapi_url,
            title=app.title,
            swagger_js_url=f"{FILES_PATH}/swagger-ui-bundle.js",
            swagger_css_url=f"{FILES_PATH}/swagger-ui.css",
            swagger_favicon_url=f"{FILES_PATH}/favicon.png",
        )

    app.add_api_route(DOCS_PATH, page, include_in_schema=False, response_class=HTMLResponse)
    app.mount(FILES_PATH, StaticFiles(directory=_FILES))
