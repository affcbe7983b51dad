"""Copy the Python that runs this into a folder that works under any root of the same kernel and architecture.

    python3 -I -S -B relocatable.py /run/fargate-sandbox/runtime

The copy brings its own dynamic loader and libraries, so the other root needs neither a libc nor a shell:
``lib/ld.so --library-path lib bin/python3 -I -S -B program.py``. The file ``ready`` appears last.
"""

import functools
import importlib
import os
import re
import shutil
import sys
import sysconfig

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
    source = sysconfig.get_path("stdlib")
    target = os.path.join(libraries, "python%d.%d" % sys.version_info[:2])
    if not os.path.isdir(target):
        shutil.copytree(source, target, ignore=_unneeded, ignore_dangling_symlinks=True)


def _unneeded(_folder: str, names: "list[str]") -> "list[str]":
    return [name for name in names if _LEFT_OUT.fullmatch(name)]


def _mapped_libraries() -> "list[str]":
    """The loader and all libraries of this interpreter and of every extension module that can be loaded."""
    modules = os.path.realpath(os.path.join(sysconfig.get_path("platstdlib"), "lib-dynload"))
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
