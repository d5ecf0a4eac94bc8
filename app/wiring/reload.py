"""Reads the secrets and the certificates anew on SIGHUP, and when a file that they came from has changed.

The files are read every two seconds and compared by their contents. Kubernetes swaps a symbolic link, Docker
replaces a file, an editor renames one over it, and a file system on the network sends no events to inotify:
reading again sees all of these, and costs some microseconds of a thread. A change counts when two looks in a
row find the same, so that a file that is half written is not taken.

What cannot be used is refused as a whole, and what is in force stays. It is tried again, since the reason may
pass: a key may not be dropped while handles need it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import structlog

from app.settings import Settings, SettingsError, SettingsSource
from app.settings.checks import problems_of
from app.store.records.replicas import Replicas
from app.wiring.keys_in_force import KeysInForce, ReloadState
from app.wiring.parts import WiringError, read_certificates
from app.wiring.renewal import Renewal, renewed
from app.wiring.secrets import Rings, SecretHolders

log = structlog.get_logger("cloakroom.secrets")

LOOK_SECONDS: Final = 2.0
# What was refused is tried again so often, without a second line in the log for the same reason.
AGAIN_SECONDS: Final = 10.0


class Reloader:
    """Keeps the secrets of the parts as they are in the files.

    Args:
        source: what the settings were read from; None where they cannot be read again.
        settings: those in force.

    Attributes:
        state: what became of it, for metrics.
        keys: what is in force, for operators and the other replicas.
    """

    def __init__(
        self,
        source: SettingsSource | None,
        settings: Settings,
        holders: SecretHolders,
    ) -> None:
        self._source = source
        self._settings = settings
        self._holders = holders
        clock = holders.shared.clocks.now
        self._rings = Rings(settings, holders.shared.catalog, clock=clock)
        self.state: Final = ReloadState(good_at=clock())
        self.keys: Final = KeysInForce(
            replica=settings.replica,
            process=holders.shared.store.process,
            rings={"signing": self._rings.signing, "sealing": self._rings.sealing},
            clients=holders.clients,
            admins=holders.admins,
            reload=self.state,
            replicas=Replicas(holders.shared.store),
        )
        self._asked = asyncio.Event()
        self._certificates = holders.certificates
        self._known = self._digests(source) if source is not None else {}
        self._in_force = self._known
        self._told_restart: tuple[str, ...] = ()
        self._watching: asyncio.Task[None] | None = None

    def ask(self) -> None:
        """Read the secrets anew, soon: SIGHUP."""
        self._asked.set()

    def start(self) -> None:
        """Begin to look at the files, and to tell the others what is in force, in the background."""
        self.keys.start()
        if self._source is not None:
            self._watching = asyncio.create_task(self._watch(self._source), name="secrets-reload")

    async def close(self) -> None:
        """Stop."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self.keys.close()

    async def _watch(self, source: SettingsSource) -> None:
        loop, seen, again_at = asyncio.get_running_loop(), self._known, 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._asked.wait()
            trigger = "SIGHUP" if self._asked.is_set() else None
            self._asked.clear()
            found = await asyncio.to_thread(self._digests, source)
            if trigger is None and found == self._known:
                if self.state.problem is not None and loop.time() >= again_at:
                    trigger = "again"
            elif trigger is None and found == seen:
                trigger = "file"
            seen = found
            if trigger is not None:
                await self._reload(source, trigger)
                again_at = loop.time() + AGAIN_SECONDS

    async def _reload(self, source: SettingsSource, trigger: str) -> None:
        before = await asyncio.to_thread(self._digests, source)
        changed = self._changed_certificates(before)
        try:
            fresh, _ = await asyncio.to_thread(source.read)
            # SIGHUP reads them in any state: they may have changed while the service started.
            anew = changed or (trigger == "SIGHUP" and self._certificates.files)
            contexts = await asyncio.to_thread(read_certificates, self._certificates) if anew else None
            renewal = renewed(self._settings, fresh)
            renewal = replace(renewal, changed=(*renewal.changed, *changed))
            problems = problems_of(renewal.settings) or self._rings.problems(renewal.settings)
            if problems:
                raise SettingsError("\n".join(problems))
            if renewal.changed or anew:
                await self._holders.take(self._settings, renewal.settings, contexts)
                self._rings.change(renewal.settings)
                self._in_force = before
        except (SettingsError, WiringError) as error:
            self._refused("; ".join(str(error).splitlines()), trigger)
        except Exception as error:
            # The old secrets serve on. What such an exception says may hold a secret.
            self._refused(f"it failed with {type(error).__name__}, which is a fault of this service", trigger)
        else:
            self._taken(renewal, trigger)
        after = await asyncio.to_thread(self._digests, source)
        # A file that changed meanwhile is looked at once more.
        moved = [path for path, digest in after.items() if before.get(path, digest) != digest]
        self._known = {path: b"" if path in moved else digest for path, digest in after.items()}
        self.keys.changed()

    def _digests(self, source: SettingsSource) -> dict[str, bytes]:
        return source.digests(self._certificates.files.values())

    def _changed_certificates(self, digests: Mapping[str, bytes]) -> tuple[str, ...]:
        """The settings whose files are not those in force."""
        return tuple(
            f"provider_{name}"
            for name, path in self._certificates.files.items()
            if digests[path] != self._in_force[path]
        )

    def _refused(self, problem: str, trigger: str) -> None:
        repeated = problem == self.state.problem and trigger != "SIGHUP"
        self.state.problem = problem
        self.state.refused += 1
        if not repeated:
            log.error("secrets_refused", trigger=trigger, reason=problem, kept="those in force")

    def _taken(self, renewal: Renewal, trigger: str) -> None:
        self._settings = renewal.settings
        self.state.good_at, self.state.problem = self._holders.shared.clocks.now(), None
        self.state.taken += 1
        changed, restart = list(renewal.changed), list(renewal.restart)
        if changed or trigger == "SIGHUP":
            log.info("secrets_reloaded", trigger=trigger, changed=changed)
        if restart and (renewal.restart != self._told_restart or trigger == "SIGHUP"):
            log.warning("settings_need_restart", trigger=trigger, settings=restart)
        self._told_restart = renewal.restart
