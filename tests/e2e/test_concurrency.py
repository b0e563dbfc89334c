"""Twenty verifications at a time, of different people, from clients that start in different orders: every answer right."""

import asyncio
import random
from pathlib import Path

from visard.client import Client, Connection
from visard.cluster import Cluster

from tests.e2e.people import Pair, pairs

PEOPLE = 5
VERIFICATIONS = 20


async def concurrent_verifications__should_not_mix_their_answers(cluster: Cluster, shared: Path) -> None:
    people = [pair for pair in pairs(shared, same=3 * PEOPLE, different=0, skip=20) if pair.float_match][:PEOPLE]
    async with Client(Connection.from_home(cluster.home), deadline=300) as client:
        for k, person in enumerate(people):
            await client.enrol(f"person-{k}", [person.first])
        questions = [(subject, probe) for subject in range(PEOPLE) for probe in range(PEOPLE)]
        random.Random(1).shuffle(questions)
        questions = questions[:VERIFICATIONS]
        async with Client(Connection.from_home(cluster.home), deadline=300) as other:
            clients = (client, other)
            answers = await asyncio.gather(
                *(
                    clients[n % 2].verify(f"person-{subject}", people[probe].second)
                    for n, (subject, probe) in enumerate(questions)
                )
            )
        for k in range(PEOPLE):
            await client.delete(f"person-{k}")
    expected = [Pair(people[s].first, people[p].second, s == p).float_match for s, p in questions]
    assert [answer.match for answer in answers] == expected
    assert 0 < sum(expected) < VERIFICATIONS
