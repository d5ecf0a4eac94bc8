"""A state machine (hypothesis) does whatever callers, operators and failures do, in any order.

Beside the real service, two replicas of it, it keeps a model of a few lines: who may still call, which answer
an offer gets again, what is refused with which code, and what the provider has been asked for. The two must
agree after every step.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Callable
from typing import ClassVar, Final

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.faults.drill import Drill, Figures, Progress
from tests.faults.model import STATUS, Handle, Kept
from tests.faults.world import MODELS, NAMES, Name, World
from tests.support.api import Reply
from tests.support.offers import fresh_offer

SEED: Final = 12
STEPS: Final = 50
# What the rules do, by the names in the tally.
WHAT: Final = (
    "answer lost",
    "expire",
    "hang up",
    "hang up of another",
    "kill midway",
    "leave midway",
    "mint",
    "race",
    "race of one offer",
    "refused by the provider",
    "relay",
    "replay",
    "restart a replica",
    "restart the store",
    "revoke",
    "rotate",
)
_AT = st.sampled_from(NAMES)
_HOW = st.sampled_from((signal.SIGTERM, signal.SIGKILL))


Offered = tuple[Handle, bytes]


class Machine(RuleBasedStateMachine):
    """The rules. ``world`` is set by ``machine_on``."""

    world: ClassVar[World]
    most_restarts: ClassVar[int]
    begun: ClassVar[Callable[[], None]]

    handles: Bundle[Handle] = Bundle("handles")
    offered: Bundle[Offered] = Bundle("offered")

    def __init__(self) -> None:
        super().__init__()
        type(self).begun()
        self.all_handles: list[Handle] = []
        # Hypothesis repeats the start of an earlier example, and expects the same of it.
        self.world.begin()
        self.expected = self.world.provider()
        self.restarts = 0

    @property
    def alive(self) -> int:
        """Handles that open a call still."""
        return sum(handle.state == "live" and not handle.gone for handle in self.all_handles)

    @property
    def may_restart(self) -> bool:
        """There is something that a restart could lose, and a restart left."""
        return self.alive > 0 and self.restarts < self.most_restarts

    # --- callers ---

    @rule(target=handles, at=_AT, limit=st.sampled_from(sorted(MODELS)))
    def mint(self, at: Name, limit: int) -> Handle:
        self._did("mint")
        handle = Handle(self.world.mint(at, limit), limit, self.world.ring(at)[0])
        self.all_handles.append(handle)
        return handle

    @rule(target=offered, handle=handles, at=_AT)
    def relay(self, handle: Handle, at: Name) -> Offered:
        self._did("relay")
        return self._relay(handle, at, fresh_offer())

    @rule(one=offered, at=_AT)
    def replay(self, one: Offered, at: Name) -> None:
        self._did("replay")
        self._relay(one[0], at, one[1])

    @rule(target=offered, handle=handles, first=_AT, many=st.integers(2, 5), same=st.booleans())
    def race(self, handle: Handle, first: Name, many: int, same: bool) -> MultipleResults[Offered]:
        """At both replicas at once: different offers, or one offer many times."""
        foreseen = {self._foresee(handle, at, fresh_offer()) for at in NAMES}
        if foreseen != {"won"}:
            return multiple()
        self._did("race of one offer" if same else "race")
        one = fresh_offer()
        offers = [one if same else fresh_offer() for _ in range(many)]
        places = (first, *[name for name in NAMES if name != first])
        sent = [(places[number % 2], handle.text, offer) for number, offer in enumerate(offers)]
        replies = self.world.relay(*sent)
        if same:
            assert {reply.status for reply in replies} == {201}, replies
            assert len({(reply.text, reply.headers["location"]) for reply in replies}) == 1
            self._won(handle, one, replies[0], self._relayed_by(replies[0]))
            return multiple((handle, one))
        winners = min(many, handle.left)
        codes = Counter("won" if reply.status == 201 else reply.code for reply in replies)
        assert codes == Counter(won=winners, handle_spent=many - winners), codes
        for (at, _, offer), reply in zip(sent, replies, strict=True):
            if reply.status == 201:
                self._won(handle, offer, reply, at)
        return multiple(*[(handle, offer) for offer in offers])

    @rule(target=offered, handle=handles, at=_AT)
    def leave_midway(self, handle: Handle, at: Name) -> MultipleResults[Offered]:
        """The browser goes while the provider thinks; its offer makes one call all the same."""
        offer, other = fresh_offer(), next(name for name in NAMES if name != at)
        if self._foresee(handle, at, offer) != "won" or self._foresee(handle, other, offer) != "won":
            return multiple()
        self._did("leave midway")
        self.world.leave(at, handle.text, offer)
        (reply,) = self.world.relay((other, handle.text, offer))
        assert reply.status == 201, reply
        self._won(handle, offer, reply, at)
        return multiple((handle, offer))

    @rule(one=offered, at=_AT, by_handle=st.booleans())
    def hang_up(self, one: Offered, at: Name, by_handle: bool) -> None:
        handle, kept = one[0], one[0].offers.get(one[1])
        if kept is None or kept.reply is None:
            return
        self._did("hang up")
        reply = self.world.hang_up(at, handle.text if by_handle else "", kept.call_id)
        if by_handle and handle.key not in self.world.ring(at):
            assert (reply.status, reply.code) == (401, "invalid_handle")
        elif not kept.on_record:
            assert (reply.status, reply.code) == (404, "call_id_not_found")
        else:
            assert reply.status == 200, reply
            self.expected["hangup"] += not kept.ended
            kept.ended = True
            assert self.world.ended(kept.call_id)

    @rule(one=offered, stranger=handles, at=_AT)
    def hang_up_of_another(self, one: Offered, stranger: Handle, at: Name) -> None:
        kept = one[0].offers.get(one[1])
        known = kept is not None and kept.reply is not None and stranger.key in self.world.ring(at)
        if kept is None or not known or stranger is one[0]:
            return
        self._did("hang up of another")
        reply = self.world.hang_up(at, stranger.text, kept.call_id)
        assert (reply.status, reply.code) == (404, "call_id_not_found")

    # --- the provider ---

    @rule(target=offered, handle=handles, at=_AT)
    def refused_by_the_provider(self, handle: Handle, at: Name) -> MultipleResults[Offered]:
        """The use is spent, and the offer may be sent again."""
        offer = fresh_offer()
        if self._foresee(handle, at, offer) != "won":
            return multiple()
        self._did("refused by the provider")
        self.world.arm({"kind": "status", "status": 400})
        (reply,) = self.world.relay((at, handle.text, offer))
        assert reply.status == 400, reply
        handle.used += 1
        self.expected["calls"] += 1
        return multiple((handle, offer))

    @rule(target=offered, handle=handles, at=_AT)
    def answer_lost(self, handle: Handle, at: Name) -> MultipleResults[Offered]:
        """The provider makes the call, and its answer never arrives."""
        offer = fresh_offer()
        if self._foresee(handle, at, offer) != "won":
            return multiple()
        self._did("answer lost")
        self.world.arm({"kind": "drop_after"})
        (reply,) = self.world.relay((at, handle.text, offer))
        assert (reply.status, reply.code) == (502, "outcome_unknown"), reply
        self.expected["opened"] += 1
        self._sent_in_vain(handle, offer)
        return multiple((handle, offer))

    # --- operators, and time ---

    # Not the last ones, or the rest of the example would have nothing to act on.
    @precondition(lambda self: self.alive > 2)
    @rule(handle=handles, at=_AT)
    def revoke(self, handle: Handle, at: Name) -> None:
        self._did("revoke")
        status, told = self.world.operate(at, "POST", f"handles/{handle.id}/revoke")
        if handle.gone:
            assert (status, told["error"]["code"]) == (404, "handle_not_found")
        else:
            assert told["outcome"] == ("already_revoked" if handle.revoked else "revoked")
            handle.revoked = True

    @precondition(lambda self: self.alive > 2)
    @rule(handle=handles)
    def expire(self, handle: Handle) -> None:
        self._did("expire")
        self.world.expire(handle.id)
        handle.gone = True

    # --- restarts ---

    @precondition(lambda self: self.may_restart)
    @rule()
    def rotate(self) -> None:
        self._did("rotate", restarts=1)
        self.world.rotate()

    @precondition(lambda self: self.may_restart)
    @rule(at=_AT, how=_HOW)
    def restart_a_replica(self, at: Name, how: signal.Signals) -> None:
        self._did("restart a replica", restarts=1)
        self.world.restart(at, how)

    @precondition(lambda self: self.may_restart)
    @rule(target=offered, handle=handles, at=_AT)
    def kill_midway(self, handle: Handle, at: Name) -> MultipleResults[Offered]:
        """A replica dies while the provider thinks: what became of the offer is never known."""
        offer, other = fresh_offer(), next(name for name in NAMES if name != at)
        if self._foresee(handle, at, offer) != "won" or handle.key not in self.world.ring(other):
            return multiple()
        self._did("kill midway", restarts=1)
        self.world.kill_midway(at, handle.text, offer)
        self._sent_in_vain(handle, offer)
        return multiple(self._relay(handle, other, offer))

    @precondition(lambda self: self.may_restart)
    @rule(how=_HOW, empty=st.booleans())
    def restart_the_store(self, how: signal.Signals, empty: bool) -> None:
        self._did("restart the store", restarts=1)
        self.world.restart_store(how, empty=empty)
        if empty:
            for handle in self.all_handles:
                handle.gone = True
                for kept in handle.offers.values():
                    kept.on_record = False

    # --- what must agree ---

    @invariant()
    def provider_agrees(self) -> None:
        assert self.world.provider() == self.expected

    def teardown(self) -> None:
        """Operators see the same at either replica."""
        for number, handle in enumerate(self.all_handles):
            status, shown = self.world.operate(NAMES[number % 2], "GET", f"handles/{handle.id}")
            assert status == (404 if handle.gone else 200)
            if not handle.gone:
                assert (shown["calls"], shown["state"]) == (handle.used, handle.state), shown
                assert shown["uses_left"] == (handle.left if handle.limit else None)

    # --- the model ---

    def _foresee(self, handle: Handle, at: Name, offer: bytes) -> str:
        return handle.foresee(offer, self.world.ring(at))

    def _relay(self, handle: Handle, at: Name, offer: bytes) -> Offered:
        foreseen = self._foresee(handle, at, offer)
        (reply,) = self.world.relay((at, handle.text, offer))
        if foreseen == "won":
            assert reply.status == 201, reply
            self._won(handle, offer, reply, at)
        elif foreseen == "again":
            first = handle.offers[offer].reply
            assert first is not None
            assert (reply.status, reply.text) == (201, first.text), reply
            assert reply.headers["location"] == first.headers["location"]
        else:
            assert reply.status == STATUS[foreseen], (foreseen, reply)
            assert reply.code == foreseen
        return handle, offer

    def _won(self, handle: Handle, offer: bytes, reply: Reply, at: Name) -> None:
        handle.used += 1
        handle.offers[offer] = Kept(reply, self.world.ring(at)[0])
        self.expected["opened"] += 1
        self.expected["calls"] += 1

    def _sent_in_vain(self, handle: Handle, offer: bytes) -> None:
        handle.used += 1
        handle.offers[offer] = Kept(None, 0)
        self.expected["calls"] += 1

    def _relayed_by(self, reply: Reply) -> Name:
        """The replica that relayed, as the call's record tells."""
        status, call = self.world.operate("a", "GET", f"calls/{Kept(reply, 0).call_id}")
        assert status == 200
        return next(name for name in NAMES if call["relayed_by"] == f"replica-{name}")

    def _did(self, what: str, *, restarts: int = 0) -> None:
        self.world.tally[what] += 1
        self.restarts += restarts


def run(world: World, options: settings, *, restarts: int, begun: Callable[[], None] = lambda: None) -> None:
    """Run the machine on this world, with so many restarts in one example at most.

    ``begun`` is called as each example begins. Raises AssertionError where service and model disagree, with
    the steps that led there in its notes.
    """
    fields = {"world": world, "most_restarts": restarts, "begun": staticmethod(begun)}
    run_state_machine_as_test(seed(SEED)(type("Machine", (Machine,), fields)), settings=options)


def options(examples: int, *phases: Phase) -> settings:
    """No example has a deadline, since a step may start a process."""
    return settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        phases=phases,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


async def machine(progress: Progress, rounds: int) -> Figures:
    """So many examples; one that fails is made as short as it can be."""
    # Hypothesis knows no coroutines, and the world has a loop of its own.
    return await asyncio.to_thread(_machine, progress, rounds)


def _machine(progress: Progress, rounds: int) -> Figures:
    seen = 0

    def begun() -> None:
        nonlocal seen
        seen += 1
        progress.at(seen, max(rounds, seen), f"examples, {world.tally.total():,} steps")

    with World() as world:
        run(world, options(rounds, Phase.generate, Phase.shrink), restarts=3, begun=begun)
        tally = world.tally
    return {"examples": seen, "steps": tally.total(), **dict(sorted(tally.items()))}


DRILLS = (Drill("machine", "5", minutes=8, rounds=150, run=machine),)
