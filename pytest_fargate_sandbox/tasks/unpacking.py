"""How what an agent packed is unpacked: in a sandbox, by the image's own programs, and no further than its bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_fargate_sandbox.leaves.artifact_bounds import WorkBounds

_DECOMPRESSED = """\
command -v {by} > /dev/null || {{{{ echo "there is no {by}"; exit 127; }}}}
{by} -dc {{file}} | head -c {{most}} | tar -xf -
"""
_GZIPPED, _XZIPPED, _BZIPPED = (_DECOMPRESSED.format(by=by) for by in ("gzip", "xz", "bzip2"))
_ZIPPED = """\
if command -v unzip > /dev/null; then
    unpacked() {{ unzip -oq {file}; }}
    total=$(unzip -l {file} | tail -n 1)
else
    unpacked() {{ python3 -m zipfile -e {file} .; }}
    total=$(python3 -c 'import sys, zipfile
print(sum(each.file_size for each in zipfile.ZipFile(sys.argv[1]).infolist()))' {file}) || exit
fi
set -- $total
case ${{1:-none}} in
    *[!0-9]*) ;;
    *) [ "$1" -le {most} ] || {{ echo "it has $1 bytes in it, and may have {most}"; exit 1; }} ;;
esac
unpacked
"""
"""One that lies about its total meets the bound of each file."""

_PATCH = "if command -v git > /dev/null; then git apply {file}; else patch -p1 -i {file}; fi"
_UNPACKED_BY = {
    ".tar.gz": _GZIPPED,
    ".tgz": _GZIPPED,
    ".tar.xz": _XZIPPED,
    ".tar.bz2": _BZIPPED,
    ".tar": "head -c {most} {file} | tar -xf -",  # which of a file would take a compressed one too
    ".zip": _ZIPPED,
    ".patch": _PATCH,
    ".diff": _PATCH,
}
_BLOCK = 512
"""https://pubs.opengroup.org/onlinepubs/9799919799/utilities/ulimit.html"""


def suffix_of(path: Path) -> str:
    """Of an archive or a patch; empty for anything else."""
    return next((suffix for suffix in _UNPACKED_BY if path.name.endswith(suffix)), "")


def unpacks(file: str, suffix: str, bounds: WorkBounds) -> list[str]:
    """The command that does it, where it is to be. What is cut off makes it fail."""
    script = _UNPACKED_BY[suffix].format(file=file, most=bounds.bytes)
    return ["/bin/sh", "-c", f"ulimit -f {bounds.bytes // _BLOCK}\n{script}"]
