"""How three parties come to the kits of a run: the messages of visard_party.runs.agreement, said over its session.

Party 0 leads: it names the kits, hears whether the others see the same request and hold the same kits, and pronounces the
verdict. Three messages one after another, before the engine's first. Where the parties have no common audit key, these three make
one, and three more begin again.
"""

import os
from dataclasses import replace

import structlog
from visard_common.errors import ResourceExhausted, ServiceFault, Unavailable
from visard_common.limits import FOLLOWERS, LEADER, RETRY_SECONDS
from visard_engine.errors import ProtocolError
from visard_engine.kits import Kit, KitPlan

from visard_party.config import ComputingConfig
from visard_party.faults import Refusal, Refused
from visard_party.kits.audit import strictest
from visard_party.kits.stock import KitAside, KitBurnt, KitStock
from visard_party.operations.prepared import Prepared
from visard_party.peers.channel import SessionChannel
from visard_party.runs import agreement
from visard_party.runs.agreement import (
    NONCE_BYTES,
    Proposal,
    Reply,
    Terms,
    Verdict,
)

_TRIES = 8  # of a proposal, while runs that begin at the same time make each an audit key

Plans = tuple[KitPlan, ...]
Offer = tuple[Terms, Plans]
Heard = Proposal | None  # of party 0; nothing at party 0 itself
log = structlog.get_logger()


def offered(prepared: Prepared) -> Offer:
    """What this party has to say of a request that is about to be run."""
    return Terms.of(prepared), prepared.plans


class Agreeing:
    """This party's side of it; one for all runs."""

    def __init__(self, config: ComputingConfig, stock: KitStock) -> None:
        self._config = config
        self._stock = stock
        self._patience = config.peer_timeout + config.kit_wait  # seconds, for a peer that may wait for its kits

    async def kits(
        self,
        channel: SessionChannel,
        offer: Offer,
        proposal: Proposal | None,
        refusal: Refusal | None = None,
    ) -> list[Kit]:
        """A kit for each plan that is offered, once all three agree to the terms.

        ``proposal`` is None at the leader, and a follower may have a ``refusal``. Raises Refused with the verdict,
        and ServiceFault.
        """
        return await (
            self._lead(channel, offer) if proposal is None else self._follow(channel, offer, proposal, refusal)
        )

    async def proposal(self, channel: SessionChannel, seconds: float) -> Proposal | None:
        """What the leader proposes, to a follower that waits for it; None at the leader. Raises EngineError."""
        if self._config.index == LEADER:
            return None
        message = await channel.exchange({}, (LEADER,), seconds)  # the leader may queue as long as the caller waits
        return agreement.decode_proposal(message[LEADER])

    async def _lead(self, channel: SessionChannel, offer: Offer) -> list[Kit]:
        """Propose until all go by one audit key, as they do but for the first run; this party's kits."""
        for _ in range(_TRIES):
            if (kits := await self._propose(channel, offer)) is not None:
                return kits
        raise Unavailable("the parties do not agree on the key of their audits", retry_after=RETRY_SECONDS)

    async def _propose(self, channel: SessionChannel, offer: Offer) -> list[Kit] | None:
        """Propose kit numbers, hear the others, pronounce the verdict; None where all begin again."""
        named, nonce = self._stock.choosing.name, os.urandom(NONCE_BYTES)
        terms, wanted = offer
        plans = wanted if named else ()
        numbers = await self._reserve(plans)
        committed = agreement.commitment(nonce)
        proposal = agreement.encode(Proposal(terms, tuple(numbers), committed, named))
        await channel.exchange(dict.fromkeys(FOLLOWERS, proposal), ())
        # taken in any case: the others may have taken theirs already
        kits = [await self._take(plan, n) for plan, n in zip(plans, numbers, strict=True)]
        replies = await channel.exchange({}, FOLLOWERS, self._patience)
        answers = [agreement.decode_reply(replies[peer]) for peer in FOLLOWERS]
        renewed = not named or any(answer.audit != named for answer in answers)
        again = renewed or any(answer.aside for answer in answers)
        refusal = agreement.verdict(answers, None if again else tags(kits))
        nonces = (nonce, *(bytes.fromhex(answer.nonce) for answer in answers))
        verdict = Verdict(refusal, tuple(one.hex() for one in nonces))
        if again and refusal is None:
            verdict = replace(verdict, again=True, audit_one_in=self._wanted(named, answers) if renewed else None)
        await channel.exchange(dict.fromkeys(FOLLOWERS, agreement.encode(verdict)), ())
        for answer in answers:
            for plan, floor in zip(wanted, answer.refusal.floors if answer.refusal else (), strict=False):
                await self._stock.raise_floor(plan, floor)
        self._go(refusal)
        coin = agreement.coin(nonces)
        if again:
            await self._renew(verdict, coin)
            return None
        return tossed(kits, coin)

    def _wanted(self, named: str, answers: list[Reply]) -> int | None:
        """One in how many kits a new audit key chooses; None where another run has just made one."""
        if self._stock.choosing.name != named:
            return None
        return strictest([self._stock.choosing.wanted, *(answer.audit_one_in for answer in answers)])

    async def _renew(self, verdict: Verdict, coin: bytes) -> None:
        if verdict.audit_one_in is not None:
            await self._stock.adopt(agreement.audit_key(verdict, coin, self._stock.choosing.wanted))

    def _go(self, refusal: Refusal | None) -> None:
        """Raises Refused unless the verdict is yes."""
        if refusal is None:
            return
        if refusal.stale_kits:
            log.warning("kits of two secrets of the dealer: all are discarded")
            self._stock.clear()
        raise Refused(refusal)

    async def _follow(
        self, channel: SessionChannel, offer: Offer, proposal: Proposal, refusal: Refusal | None
    ) -> list[Kit]:
        """Check the leader's proposal, take the kits it names, and hear the verdict; this party's kits."""
        for _ in range(_TRIES):
            if (kits := await self._reply(channel, offer, proposal, refusal)) is not None:
                return kits
            proposal = agreement.decode_proposal((await channel.exchange({}, (LEADER,), self._patience))[LEADER])
        raise Unavailable("the parties do not agree on the key of their audits", retry_after=RETRY_SECONDS)

    async def _reply(
        self, channel: SessionChannel, offer: Offer, proposal: Proposal, refusal: Refusal | None
    ) -> list[Kit] | None:
        """None where all begin again."""
        terms, plans = offer
        choosing, kits = self._stock.choosing, list[Kit]()
        named, wanted = choosing.name, choosing.wanted
        refusal = refusal or agreement.check(proposal.terms, terms)
        aside = False
        if refusal is None and named and proposal.audit == named:
            try:
                refusal, kits = await self._take_all(plans, proposal.kits)
            except KitAside:
                aside = True
        nonce = os.urandom(NONCE_BYTES)
        reply = Reply(refusal, tags(kits), nonce.hex(), named, wanted, aside)
        await channel.exchange({LEADER: agreement.encode(reply)}, ())
        verdict = agreement.decode_verdict((await channel.exchange({}, (LEADER,), self._patience))[LEADER])
        self._go(verdict.refusal)
        coin = agreement.tossed(verdict, proposal, self._config.index, nonce)
        if verdict.again:
            await self._renew(verdict, coin)
            return None
        if len(kits) != len(plans):
            raise ProtocolError("the leader's verdict is to go, without kits")
        return tossed(kits, coin)

    async def _take_all(self, plans: Plans, numbers: tuple[int, ...]) -> tuple[Refusal | None, list[Kit]]:
        """The kits, or why not; raises KitAside."""
        kits: list[Kit] = []
        try:
            for plan, number in zip(plans, numbers, strict=True):
                kits.append(await self._stock.take(plan, number, self._config.kit_wait))
        except KitAside:
            raise
        except KitBurnt as burnt:
            floors = tuple(burnt.floor if p.digest == plan.digest else 1 for p in plans)
            return Refusal.of(ResourceExhausted("the kits were used up", retry_after=RETRY_SECONDS), floors), []
        except ServiceFault as fault:
            return Refusal.of(fault), []
        return None, kits

    async def _reserve(self, plans: Plans) -> list[int]:
        """A number for each plan; none is kept from others when one cannot be had."""
        numbers: list[int] = []
        try:
            for plan in plans:
                numbers.append(await self._stock.reserve(plan, self._config.kit_wait))
        except BaseException:
            for plan, number in zip(plans, numbers, strict=False):
                await self._stock.release(plan, number)
            raise
        return numbers

    async def _take(self, plan: KitPlan, number: int) -> Kit:
        try:
            return await self._stock.take(plan, number, self._config.kit_wait)
        except KitBurnt as error:
            raise ResourceExhausted("the kits were used up", retry_after=RETRY_SECONDS) from error


def tossed(kits: list[Kit], coin: bytes) -> list[Kit]:
    """The kits, with the coin of this run."""
    for kit in kits:
        kit.toss(coin)
    return kits


def tags(kits: list[Kit]) -> tuple[str, ...]:
    """What the parties compare of their kits."""
    return tuple(kit.tag.hex() for kit in kits)
