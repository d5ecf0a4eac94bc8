"""Real processes: a replica and the provider in a box, started as an operator starts them."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from app.store.embedded import lifeline
from tests.support.clocks import PATIENCE

ROOT: Final = Path(__file__).resolve().parents[2]


class Child:
    """A program whose standard output is kept as lines. It ends with the test process at the latest.

    Args:
        command: the program, by its path, and its arguments.
        environment: all its variables.
        folder: where it runs.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path = ROOT) -> None:
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._process = lifeline.popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._pipe = self._process.stdout
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The JSON log lines of this event, of all that the process has written by now.

        A line is written before its answer, but the thread that reads it here may lag behind.
        """
        with self._news:
            assert self._news.wait_for(lambda: self._ended or not self._unread(), PATIENCE)
            return self._events(name)

    def _unread(self) -> bool:
        return bool(select.select([self._pipe], [], [], 0)[0])

    def _events(self, name: str) -> list[dict[str, Any]]:
        found = []
        for line in list(self.lines):
            if line.startswith("{") and name in line:
                event = json.loads(line)
                if event.get("event") == name:
                    found.append(event)
        return found

    def wait_for_event(self, name: str) -> dict[str, Any]:
        """Return the first line of this event; the process's output stands in the failure's message."""
        with self._news:
            self._news.wait_for(lambda: self._events(name) or self._ended, PATIENCE)
            found = self._events(name)
        if not found:
            raise AssertionError(f"no {name!r} from {self._process.args!r}:\n{self.output}")
        return found[0]

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end and return the exit status."""
        status = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def stop(self) -> None:
        """SIGTERM, then wait; SIGKILL should that not do."""
        if self.running:
            self.signal(signal.SIGTERM)
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _read(self) -> None:
        rest = b""
        while not self._ended:
            select.select([self._pipe], [], [])
            # Under the lock from the pipe to the lines: nobody sees the pipe empty and the lines not there.
            with self._news:
                part = os.read(self._pipe.fileno(), 65_536)
                *lines, rest = (rest + part).split(b"\n")
                self._ended = part == b""
                if self._ended and rest:
                    lines.append(rest)
                self.lines += [line.decode("utf-8", "replace") for line in lines]
                self._news.notify_all()
        self._pipe.close()


class Process(Child):
    """A Python module as a child.

    Args:
        arguments: what comes after ``python -m``.
        environment: its variables, besides the few that every program needs.
        prefix: a command, by its path, that becomes the program in other surroundings: a namespace.
        code: the folder that has ``app``; it becomes the working directory.
        python: the interpreter, of another environment than the suite's.
    """

    def __init__(
        self,
        arguments: list[str],
        environment: Mapping[str, str],
        *,
        prefix: Sequence[str] = (),
        code: Path = ROOT,
        python: str = sys.executable,
    ) -> None:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        super().__init__([*prefix, python, "-m", *arguments], {**inherited, **environment}, code)


class Replica(Process):
    """``python -m app serve`` on a free port, with further arguments if any; returns when it is ready.

    ``package`` is the import name: a wheel's is another one.
    """

    def __init__(
        self,
        name: str,
        environment: Mapping[str, str],
        *arguments: str,
        prefix: Sequence[str] = (),
        code: Path = ROOT,
        python: str = sys.executable,
        package: str = "app",
    ) -> None:
        settings = {
            "CLOAKROOM_HOST": "127.0.0.1",
            "CLOAKROOM_PORT": "0",
            "CLOAKROOM_REPLICA": name,
            **environment,
        }
        super().__init__([package, "serve", *arguments], settings, prefix=prefix, code=code, python=python)
        self.name = name
        try:
            listening = self.wait_for_event("listening")
        except BaseException:
            self.stop()
            raise
        self.url = "http://" + listening["addresses"][0]


class Sandbox(Process):
    """``python -m app.sandbox`` on a free port; returns when it listens."""

    def __init__(self, *arguments: str, openai_key: str, azure_key: str, prefix: Sequence[str] = ()) -> None:
        environment = {
            "CLOAKROOM_SANDBOX_OPENAI_KEY": openai_key,
            "CLOAKROOM_SANDBOX_AZURE_KEY": azure_key,
            # One key for all that have no form of their own.
            "CLOAKROOM_SANDBOX_INWORLD_KEY": openai_key,
            "CLOAKROOM_SANDBOX_QWEN_KEY": openai_key,
        }
        super().__init__(["app.sandbox", "--port", "0", *arguments], environment, prefix=prefix)
        try:
            self.url: str = self.wait_for_event("sandbox_ready")["url"]
        except BaseException:
            self.stop()
            raise

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Call the control endpoint ``/_sandbox/<path>`` and return its JSON."""
        request = urllib.request.Request(
            f"{self.url}/_sandbox/{path}",
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            # It holds the connection, which a failure's traceback would leave to the collector.
            with error:
                raise AssertionError(f"{method} {path}: {error.code} {error.read()!r}") from None
        return json.loads(text) if text else None

    def struck(self) -> bool:
        """Whether every fault has struck as often as it was armed for."""
        return not self.control("GET", "faults")["faults"]
