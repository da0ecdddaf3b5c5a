"""What goes with an e-mail, made when it is sent; used by `stream.notices`.

To add a kind: `async def f(connection, id) -> (filename, bytes)`, and its line in `ATTACHMENTS`. Its module
is imported with the first of its kind: whoever sends no documents does not load what draws them.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from storage.database import Connection
from stream.mail import Attachment

ATTACHMENTS: Mapping[str, tuple[str, str]] = {
    "invoice": ("stream.documents.invoice_pdf", "render_invoice"),
}


async def render_attachment(connection: Connection, attachment: Mapping[str, Any]) -> Attachment:
    """Make the file that `attachment` (`{"kind", "id"}`) means."""
    module, function = ATTACHMENTS[attachment["kind"]]
    filename, content = await getattr(import_module(module), function)(connection, int(attachment["id"]))
    return Attachment(filename, content)
