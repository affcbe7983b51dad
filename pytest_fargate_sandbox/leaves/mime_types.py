"""What kind of file it is, by its name and its first bytes; the same on every machine."""

from __future__ import annotations

_MORE = {".log": "text/plain", ".md": "text/markdown", ".cast": "application/x-asciicast", ".toml": "application/toml"}
_PACKED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}


def mime_type(path: str, content: bytes) -> str:
    import mimetypes

    known = mimetypes.MimeTypes()  # without what the machine's own files say
    for suffix, named in _MORE.items():
        known.add_type(named, suffix)
    kind, packed = known.guess_type("file:" + path.rpartition("/")[2])
    return _PACKED.get(packed or "") or kind or ("text/plain" if _is_text(content) else "application/octet-stream")


def _is_text(content: bytes) -> bool:
    if b"\0" in content:
        return False
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > 0 and error.reason == "unexpected end of data"
    return True
