"""The JavaScript that stands around a codec: what network servers offer it, and how it is called.

Used by `stream.codecs.sandbox`. To offer codecs something more: the prelude, or a file that is loaded where a
codec names what is in it, as `Buffer`.
"""

from pathlib import Path

_FOLDER = Path(__file__).parent / "js"

PRELUDE = (_FOLDER / "prelude.js").read_text(encoding="utf-8")
BUFFER = (_FOLDER / "buffer.js").read_text(encoding="utf-8")

# Names by which codecs are found: TS013 and its normalisation, The Things Stack 2, ChirpStack 3.
DECODERS = frozenset({"decodeUplink", "Decoder", "Decode"})
ENCODERS = frozenset({"encodeDownlink", "Encoder", "Encode"})
ENTRIES = sorted(DECODERS | ENCODERS | {"normalizeUplink"})

# Functions declared by `let` and `const` are no properties of the global object: they are asked for by name.
FIND = (
    "({" + ",".join(f"{name}: typeof {name} === 'function' ? {name} : undefined" for name in ENTRIES) + "})"
)

# QuickJS names what is evaluated `<input>`; the second module of that name finds the first.
FIND_EXPORTS = "import * as found from '<input>'; globalThis.__found = found;"
TAKE_EXPORTS = "(() => { const found = __found; delete globalThis.__found; return found; })()"
