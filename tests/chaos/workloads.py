"""What is done while faults strike, each with an oracle that knows what had to come out of it.

An act raises what went wrong; an answer that is wrong is an ``AssertionError``. Acts are numbered, and whoever carries
one out writes its number down, in a file or a list that no fault reaches.
"""

from __future__ import annotations

import hashlib
import io
import random
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_fargate_sandbox import EcsFargateSandbox
    from tests.chaos.systems import System

_LONGEST = 60.0


class Workload(Protocol):
    """``act`` is called from several threads."""

    threads: int
    is_brief: bool
    """Whether an act is so short that the first one after a fault tells when all was well again."""

    def act(self, number: int) -> None: ...

    def written_down(self) -> Counter[int]:
        """How often the other side has carried out each act."""

    def litter(self) -> int:
        """How much lies about that ought to be gone."""


class _InASandbox:
    """What all have in common that happens in a sandbox: a file of lines, and chance by number."""

    threads = 4
    is_brief = False

    def __init__(self, system: System, seed: int) -> None:
        self.sandbox = system.sandbox
        self.place = system.place
        self._seed = seed

    def chance(self, number: int) -> random.Random:
        return random.Random(f"{self._seed} {number}")

    def noted(self, number: int) -> str:
        return f"echo {number} >> {self.place}/lines"

    def written_down(self) -> Counter[int]:
        self.sandbox.exec(f"touch {self.place}/lines")
        return Counter(map(int, self.sandbox.read_file(f"{self.place}/lines").split()))

    def litter(self) -> int:
        return len(self.sandbox.exec(f"find {self.place} -name '.fargate-sandbox-*'").stdout.splitlines())


class UntilTheEnd:
    """Commands that look whether they have been carried out once: for a task that will take its files with it."""

    threads = 4
    is_brief = True

    def __init__(self, sandbox: EcsFargateSandbox) -> None:
        self._sandbox = sandbox
        self._seen: Counter[int] = Counter()

    def act(self, number: int) -> None:
        command = f"echo {number} >> /tmp/lines; grep -cx {number} /tmp/lines; sleep 0.05"
        result = self._sandbox.exec(command, timeout_sec=_LONGEST)
        assert result.return_code == 0, f"{result!r:.300}"
        self._seen[number] = int(result.stdout)

    def written_down(self) -> Counter[int]:
        return self._seen

    def litter(self) -> int:
        return 0


# --- commands ---------------------------------------------------------------------------------------------------------
class Commands(_InASandbox):
    """Short ones and long ones, that say much or nothing, fail on purpose, read, or take their time."""

    threads = 16
    is_brief = True

    def act(self, number: int) -> None:
        chance = self.chance(number)
        chance.choice([self._brief, self._brief, self._talkative, self._failing, self._reading, self._slow])(
            number, chance
        )

    def _run(
        self, number: int, command: str, stdout: bytes = b"", stderr: bytes = b"", code: int = 0, **how: Any
    ) -> None:
        result = self.sandbox.exec(f"{self.noted(number)}; {command}", timeout_sec=_LONGEST, **how)
        assert not result.timed_out
        assert (result.return_code, digest(result.stdout_bytes), digest(result.stderr_bytes)) == (
            code,
            digest(stdout),
            digest(stderr),
        ), f"{command!r:.80}: {result!r:.300}"

    def _brief(self, number: int, _: random.Random) -> None:
        self._run(number, f"echo {number}", b"%d\n" % number)

    def _talkative(self, number: int, chance: random.Random) -> None:
        last = chance.randint(1, 100_000)
        self._run(number, f"seq 1 {last}; echo end >&2", b"".join(b"%d\n" % n for n in range(1, last + 1)), b"end\n")

    def _failing(self, number: int, chance: random.Random) -> None:
        code = chance.randint(1, 120)
        self._run(number, f"echo no >&2; exit {code}", stderr=b"no\n", code=code)

    def _reading(self, number: int, chance: random.Random) -> None:
        given = chance.randbytes(chance.randint(1, 200_000))
        self._run(number, "cat", given, stdin=given)

    def _slow(self, number: int, chance: random.Random) -> None:
        self._run(number, f"echo {number}; sleep {chance.uniform(0, 0.8):.2f}; echo end", b"%d\nend\n" % number)


class BriefCommands(Commands):
    """What fits where little is carried."""

    def act(self, number: int) -> None:
        chance = self.chance(number)
        chance.choice([self._brief, self._failing, self._slow])(number, chance)


class LongInput(Commands):
    """Much that is read, from few threads, so that one session does not carry it."""

    threads = 4

    def act(self, number: int) -> None:
        given = self.chance(number).randbytes(150_000)
        self._run(number, "sha256sum", f"{digest(given)}  -\n".encode(), stdin=given)


class StreamedInput(_InASandbox):
    """Commands whose input is too large for the request, and is sent while they read it."""

    def act(self, number: int) -> None:
        chance = self.chance(number)
        given = chance.randbytes(chance.randint(300_000, 2_000_000))
        result = self.sandbox.exec(
            f"{self.noted(number)}; sha256sum", stdin=io.BytesIO(given), timeout_sec=_LONGEST, check=True
        )
        assert result.stdout.split()[0] == digest(given)


class Dialogues(_InASandbox):
    """Processes that answer line by line."""

    is_brief = True

    def act(self, number: int) -> None:
        script = f'{self.noted(number)}; while read line; do echo "<$line>"; done; echo end >&2'
        process = self.sandbox.spawn(script)
        words = [f"{number}.{count}" for count in range(self.chance(number).randint(1, 8))]
        heard = b""
        for word in words:
            process.write(f"{word}\n")
            while not heard.endswith(b"<%s>\n" % word.encode()):
                piece = process.read(timeout=_LONGEST)
                assert piece, f"after {heard!r} nothing came"
                heard += piece
        process.write(b"", end=True)
        result = process.wait(_LONGEST)
        assert heard.decode() == result.stdout == "".join(f"<{word}>\n" for word in words)
        assert (result.return_code, result.stderr) == (0, "end\n")


# --- files ------------------------------------------------------------------------------------------------------------
class Files(_InASandbox):
    """There and back; then the sandbox is asked what it has."""

    threads = 1

    def __init__(self, system: System, seed: int, here: Path) -> None:
        super().__init__(system, seed)
        self._here = here
        self._sent: dict[int, str] = {}
        self.sandbox.exec(f"mkdir -p {self.place}/files")

    def act(self, number: int) -> None:
        chance = self.chance(number)
        content = chance.randbytes(chance.randint(1, 2_000_000))
        there, here, back = f"{self.place}/files/{number}", self._here / f"{number}", self._here / f"{number} back"
        here.write_bytes(content)
        self.sandbox.upload(here, there)
        self._sent[number] = digest(content)
        self.sandbox.download(there, back)
        assert digest(back.read_bytes()) == self._sent[number]
        here.unlink()
        back.unlink()

    def written_down(self) -> Counter[int]:
        """Those that are there, and are what was sent."""
        listed = self.sandbox.exec(f"cd {self.place}/files && sha256sum *").stdout.splitlines()
        there = {int(line.split()[1]): line.split()[0] for line in listed}
        return Counter(number for number, sent in self._sent.items() if there.get(number) == sent)


class Trees(_InASandbox):
    """Many small files, so that who unpacks is behind who sends."""

    threads = 1

    def __init__(self, system: System, seed: int, here: Path) -> None:
        super().__init__(system, seed)
        self._here = here
        self._known: dict[int, dict[str, str]] = {}

    def act(self, number: int) -> None:
        there, here, back = f"{self.place}/trees/{number}", self._here / f"{number}", self._here / f"{number} back"
        self._grow(here, self.chance(number))
        self._known[number] = tree_digests(here)
        self.sandbox.upload(here, there)
        self.sandbox.download(there, back)
        assert tree_digests(back) == self._known[number]
        shutil.rmtree(here)
        shutil.rmtree(back)

    def _grow(self, tree: Path, chance: random.Random) -> None:
        for name in range(chance.randint(5, 150)):
            folder = tree / f"folder {name % 7}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}").write_bytes(chance.randbytes(chance.randint(0, 8192)))

    def written_down(self) -> Counter[int]:
        listed = self.sandbox.exec(f"cd {self.place}/trees && find . -type f -exec sha256sum {{}} +").stdout
        there: dict[int, dict[str, str]] = {}
        for line in listed.splitlines():
            known, _, path = line.partition("  ./")
            number, _, name = path.partition("/")
            there.setdefault(int(number), {})[name] = known
        return Counter(number for number, known in self._known.items() if there.get(number) == known)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tree_digests(tree: Path) -> dict[str, str]:
    return {str(path.relative_to(tree)): digest(path.read_bytes()) for path in tree.rglob("*") if path.is_file()}
