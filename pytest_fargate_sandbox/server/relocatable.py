"""Copy the Python that runs this into a folder that works under any root of the same kernel and architecture.

    python3 -I -S -B relocatable.py /run/fargate-sandbox/runtime

The copy brings its own dynamic loader and libraries, so the other root needs neither a libc nor a shell:
``lib/ld.so --library-path lib bin/python3 -I -S -B program.py``. The file ``ready`` appears last.
"""

import functools
import importlib
import importlib.util
import os
import re
import shutil
import struct
import sys
import sysconfig
import zipfile

# The exec server needs none of this, and each start copies the rest: about 40 MB.
_LEFT_OUT = re.compile(
    r"config|curses|dbm|distutils|ensurepip|idlelib|lib2to3|pydoc_data|sqlite3|tests?|tkinter|turtle.*|unittest"
    r"|(dist|site)-packages|config-.*|.*\.a|.*\.opt-[12]\.pyc"
    r"|(_codecs_|_curses|_dbm|_gdbm|_lsprof|_sqlite3|_test|_tkinter|_xx|audioop|nis\.|ossaudiodev|readline|xx).*"
)


def copy_runtime(target: str) -> None:
    """Make ``target`` such a folder; one that is ready stays as it is."""
    ready = os.path.join(target, "ready")
    if os.path.exists(ready):
        return
    old_mask = os.umask(0o022)  # whoever the main container runs as must be able to read it
    try:
        libraries = os.path.join(target, "lib")
        for folder in (os.path.join(target, "bin"), libraries):
            if not os.path.isdir(folder):
                os.makedirs(folder)
        shutil.copy2(os.path.realpath("/proc/self/exe"), os.path.join(target, "bin", "python3"))
        _copy_stdlib(libraries)
        for path in _mapped_libraries():
            _copy_library(path, libraries)
        open(ready, "w").close()
    finally:
        os.umask(old_mask)


def _copy_stdlib(libraries: str) -> None:
    """All that is Python in one archive, where modules are looked for first: a thousand files take longer than that."""
    source = sysconfig.get_path("stdlib")
    version = sys.version_info[:2]
    target = os.path.join(libraries, "python%d.%d" % version)
    if not os.path.isdir(target):
        extensions = os.path.join(target, "lib-dynload")
        if os.path.isdir(_extensions()):
            shutil.copytree(_extensions(), extensions, ignore=_unneeded, ignore_dangling_symlinks=True)
        else:
            os.makedirs(extensions)
    shutil.copy2(os.path.join(source, "os.py"), target)  # by this file Python finds the place
    archive = os.path.join(libraries, "python%d%d.zip" % version)
    if not os.path.exists(archive):
        with zipfile.ZipFile(archive + "~", "w") as modules:
            _pack(source, modules)
        os.rename(archive + "~", archive)


def _pack(source: str, archive: zipfile.ZipFile) -> None:
    for folder, folders, files in os.walk(source):
        left_out = {*_unneeded(folder, folders + files), "__pycache__", "lib-dynload"}
        folders[:] = [name for name in folders if name not in left_out]
        for name in files:
            path = os.path.join(folder, name)
            if name.endswith(".py") and name not in left_out and os.path.isfile(path):
                ending, content = _packed(path)
                archive.writestr(zipfile.ZipInfo(os.path.relpath(path, source) + ending), content)


def _packed(path: str) -> "tuple[str, bytes]":
    """What Python has compiled of this source as it is now, or the source: an archive could not tell which is newer."""
    told = os.stat(path)
    flags = b"" if sys.version_info < (3, 7) else bytes(4)
    numbers = (int(told.st_mtime) & 0xFFFFFFFF, told.st_size & 0xFFFFFFFF)
    current = importlib.util.MAGIC_NUMBER + flags + struct.pack("<LL", *numbers)
    for file, ending, begin in ((importlib.util.cache_from_source(path), "c", current), (path, "", b"")):
        if os.path.isfile(file):
            with open(file, "rb") as opened:
                content = opened.read()
            if content.startswith(begin):
                return ending, content
    return "", b""


def _extensions() -> str:
    """Of what a virtual environment was made of: it has none itself, and says that they are there."""
    place = sysconfig.get_path("platstdlib", vars={"platbase": sys.base_exec_prefix})
    return os.path.realpath(os.path.join(place, "lib-dynload"))


def _unneeded(_folder: str, names: "list[str]") -> "list[str]":
    return [name for name in names if _LEFT_OUT.fullmatch(name)]


def _mapped_libraries() -> "list[str]":
    """The loader and all libraries of this interpreter and of every extension module that can be loaded."""
    modules = _extensions()
    for file in os.listdir(modules) if os.path.isdir(modules) else ():
        if not _unneeded(modules, [file]):
            try:
                importlib.import_module(file.split(".")[0])
            except Exception:
                pass  # it needs something that this machine lacks, and so will the copy
    found = set()
    with open("/proc/self/maps") as maps:
        for line in maps:
            path = line.split(None, 5)[5:]
            if path and ".so" in path[0] and not path[0].startswith(modules):
                found.add(path[0].rstrip("\n"))
    return sorted(found)


def _copy_library(path: str, libraries: str) -> None:
    """Under its own name, and under the names by which others ask for it: the links to it beside it."""
    folder, name = os.path.split(path)
    shutil.copy2(path, os.path.join(libraries, name))
    links = {link for link, target in _links_in(folder).items() if target == path}
    if name.startswith("ld-"):
        links.add("ld.so")
    for link in links:
        if not os.path.lexists(os.path.join(libraries, link)):
            os.symlink(name, os.path.join(libraries, link))


@functools.lru_cache(maxsize=None)
def _links_in(folder: str) -> "dict[str, str]":
    """Once for all libraries of a folder: it may hold thousands, and to resolve those takes as long as to copy all."""
    with os.scandir(folder) as entries:
        return {entry.name: os.path.realpath(entry.path) for entry in entries if entry.is_symlink()}


if __name__ == "__main__":
    copy_runtime(sys.argv[1])
