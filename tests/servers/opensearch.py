"""Starts a real OpenSearch node from Maven Central for tests, and ends it.

Needs a Java runtime 17 or newer (`JAVA` names one) and, the first time, `mvn`: it fetches the node
(56 MB) and the Eclipse compiler, so that no JDK is needed. What was fetched and compiled is kept in
`.servers/` of the repository; MILLSTREAM_SERVERS names another folder.

    python -m tests.servers.opensearch [PORT]      runs one until Ctrl-C
"""

from __future__ import annotations

import fcntl
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_HERE = Path(__file__).resolve().parent / "opensearch_node"
_ROOT = _HERE.parent.parent.parent
_READY_WITHIN_S = 120
_OLDEST_JAVA = 17


class CannotStartError(Exception):
    """No server can be started here; the text says what is missing."""


@contextmanager
def running_opensearch(port: int | None = None) -> Iterator[str]:
    """A running node's address, such as http://127.0.0.1:41234; it ends with the block."""
    java = _java()
    home = Path(os.environ.get("MILLSTREAM_SERVERS", _ROOT / ".servers")) / "opensearch"
    _prepare(java, home)
    port = port or _free_port()
    work = Path(tempfile.mkdtemp(prefix="millstream-opensearch-"))
    log = work / "server.log"
    classes = f"{home / 'classes'}:{home / 'lib'}/*"
    command = [java, "-Xmx768m", "-cp", classes, "SearchServer", str(port), str(work / "data")]
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=work
            )
        try:
            _await_ready(process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            _end(process)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _java() -> str:
    candidates = [
        os.environ.get("JAVA"),
        shutil.which("java"),
        *glob.glob("/usr/lib/jvm/*/bin/java"),
    ]
    for java in candidates:
        if java and _java_version(java) >= _OLDEST_JAVA:
            return java
    raise CannotStartError(f"there is no Java {_OLDEST_JAVA} or newer (set JAVA to one)")


def _java_version(java: str) -> int:
    try:
        result = subprocess.run([java, "-version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return 0
    found = re.search(r'version "(\d+)', result.stderr)
    return int(found[1]) if found else 0


def _prepare(java: str, home: Path) -> None:
    """Fetch and compile what is not there yet; one process at a time does it."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "lib").is_dir():
            _fetch(home / "lib")
        source = _HERE / "SearchServer.java"
        compiled = home / "classes" / "SearchServer.class"
        if not compiled.exists() or compiled.stat().st_mtime < source.stat().st_mtime:
            _compile(java, home, source)


def _fetch(lib: Path) -> None:
    if shutil.which("mvn") is None:
        raise CannotStartError("mvn is not installed, which fetches the server")
    part = lib.with_name("lib.part")
    shutil.rmtree(part, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-f", str(_HERE / "pom.xml"), "dependency:copy-dependencies"]
    _run([*command, f"-DoutputDirectory={part}"], "the server could not be fetched")
    part.rename(lib)


def _compile(java: str, home: Path, source: Path) -> None:
    jars = ":".join(str(jar) for jar in sorted((home / "lib").glob("*.jar")))
    compiler = ["-cp", f"{home / 'lib'}/*", "org.eclipse.jdt.internal.compiler.batch.Main"]
    options = [f"-{_OLDEST_JAVA}", "-proc:none", "-nowarn", "-cp", jars, "-d"]
    _run(
        [java, *compiler, *options, str(home / "classes"), str(source)],
        "the server's starter could not be compiled",
    )


def _run(command: list[str], problem: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        tail = (result.stdout + result.stderr)[-2_000:]
        raise CannotStartError(f"{problem}:\n{tail}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < give_up:
        text = log.read_text(errors="replace")
        if any(line.endswith("READY") for line in text.splitlines()):  # logged, not printed
            return
        if process.poll() is not None:
            raise CannotStartError(f"the server ended at once:\n{text[-2_000:]}")
        time.sleep(0.1)
    raise CannotStartError(f"the server was not ready within {_READY_WITHIN_S} s")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> None:
    """Run a node until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else None
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with running_opensearch(port) as url, suppress(KeyboardInterrupt):
        print(f"OpenSearch answers at {url}; Ctrl-C ends it.", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
