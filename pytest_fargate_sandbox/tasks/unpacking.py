"""How what an agent packed is unpacked: in a sandbox, by the image's own programs, and no further than its bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_fargate_sandbox.leaves.artifact_bounds import WorkBounds

NOT_FOUND = 127
"""It ends so where the image lacks a program for it."""

_BOUNDED = 'file=$1 most=$2 files=$3\nulimit -f "$4"\n'
_BLOCK = 512
"""https://pubs.opengroup.org/onlinepubs/9799919799/utilities/ulimit.html"""

_TARRED = """\
for each in $by tar head wc; do
    command -v "$each" > /dev/null || { echo "there is no $each"; exit 127; }
done
set --
[ -O . ] || ! tar --anchored --version > /dev/null 2>&1 || set -- --no-recursion --anchored --exclude=.
wrong=$({
    { read_all || echo "$by came to no end of it: it is cut off, or has more than $most bytes in it" >&3; } |
    head -c "$most" |
    { tar "$@" -xvf - || echo "tar could not unpack it" >&3; cat > /dev/null; } |
    { [ "$(head -n $((files + 1)) | wc -l)" -le "$files" ] || echo "it has more than $files files in it" >&3; }
} 3>&1)
[ -z "$wrong" ] || { echo "$wrong"; exit 1; }
"""
"""A workspace that is another's may be his to write in, but gets no times of the archive's: at that GNU's tar fails."""

_ZIPPED = """\
if command -v unzip > /dev/null; then
    unpacked() { unzip -oq "$file" || [ $? = 1 ]; }  # which is a warning
    total=$(unzip -l "$file" | tail -n 1)
else
    unpacked() { python3 -m zipfile -e "$file" .; }
    total=$(python3 -c 'import sys, zipfile
found = zipfile.ZipFile(sys.argv[1]).infolist()
print(sum(each.file_size for each in found), len(found))' "$file") || exit
fi
set -- $total
case ${1:-none} in
    *[!0-9]*) ;;
    *) [ "$1" -le "$most" ] || { echo "it has $1 bytes in it, and may have $most"; exit 1; }
       [ "$2" -le "$files" ] || { echo "it has $2 files in it, and may have $files"; exit 1; } ;;
esac
unpacked
"""
"""One that lies about its total meets the bound of each file."""

_PATCH = 'if command -v git > /dev/null; then git apply "$file"; else patch -p1 -i "$file"; fi'


def _tarred(by: str, argument: str = "-dc") -> str:
    return f'by={by}\nread_all() {{ {by} {argument} "$file"; }}\n{_TARRED}'


_UNPACKED_BY = {
    ".tar.gz": _tarred("gzip"),
    ".tgz": _tarred("gzip"),
    ".tar.xz": _tarred("xz"),
    ".tar.bz2": _tarred("bzip2"),
    ".tar.zst": _tarred("zstd"),
    ".tar": _tarred("cat", "--"),  # tar itself would take a compressed one for it
    ".zip": _ZIPPED,
    ".patch": _PATCH,
    ".diff": _PATCH,
}


def suffix_of(path: Path) -> str:
    """Of an archive or a patch; empty for anything else."""
    return next((suffix for suffix in _UNPACKED_BY if path.name.endswith(suffix)), "")


def unpacks(file: str, suffix: str, bounds: WorkBounds) -> list[str]:
    """The command that does it, where it is to be. What is cut off makes it fail."""
    bound = [str(each) for each in (bounds.bytes, bounds.files, bounds.bytes // _BLOCK)]
    return ["/bin/sh", "-c", _BOUNDED + _UNPACKED_BY[suffix], "sh", file, *bound]
