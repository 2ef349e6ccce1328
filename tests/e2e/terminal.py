"""A program in a terminal of its own, as a person sees and uses it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from types import TracebackType
from typing import Self

COMMAND = [sys.executable, "-c", "from millstream.cli.main import main; main()"]


class Terminal:
    """Runs `millstream` with arguments in a pseudo-terminal. A context manager that ends it."""

    def __init__(self, arguments: list[str], folder: Path, columns: int = 80, lines: int = 24):
        self._person, program = pty.openpty()
        fcntl.ioctl(program, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color"}
        environment.pop("COLUMNS", None)
        environment.pop("LINES", None)
        self._process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=folder,
            env=environment,
            stdin=program,
            stdout=program,
            stderr=program,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(program)
        self.seen = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._person)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._person, keys.encode())

    def wait_for(self, text: str) -> None:
        """Read on until `text` was seen since the last call. Fails where the program ends first."""
        while text not in self.seen:
            if not self._read():
                raise AssertionError(f"{text!r} never came; the program wrote:\n{self.seen}")
        self.seen = self.seen[self.seen.index(text) + len(text) :]

    def wait(self) -> int:
        """Read to the program's end; its exit code."""
        while self._read():
            pass
        return self._process.wait()

    def _read(self) -> bool:
        select.select([self._person], [], [])
        try:
            data = os.read(self._person, 65_536)
        except OSError:  # Linux says so when the program's side is closed.
            return False
        self.seen += data.decode("utf-8", "replace")
        return bool(data)
