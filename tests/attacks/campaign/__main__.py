"""``python -m tests.attacks.campaign``: run it, or one run of it again; the last line is JSON."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable

from tests.attacks.campaign import kinds, plan, services
from tests.attacks.campaign.plan import RUNS, Report

EVERY = 100  # runs between two lines of progress


def main() -> int:
    """0 if no run was wrong and none hung, and every kind of message was lied about."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.campaign", description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="runs of the engine, of three parties in this process")
    parser.add_argument("--services", type=int, default=60, help="requests to services of which one party lies")
    parser.add_argument("--seed", type=int, default=1, help="of the campaign")
    parser.add_argument("--only", type=int, metavar="SEED", help="one run of the engine again, by its own seed")
    parser.add_argument("--only-services", type=int, metavar="SEED", help="likewise one request to services")
    args = parser.parse_args()
    if args.only is not None:
        return told([plan.run(args.only)])
    if args.only_services is not None:
        return told(list(services.reports([args.only_services])))
    first = args.seed * RUNS
    reports = list(shown(map(plan.run, range(first, first + args.runs))))
    if args.services:
        reports += shown(services.reports(range(first, first + args.services)))
    attacked = plan.attacked(reports)
    forgotten = kinds.missing(attacked) | (kinds.missing_senders(attacked) if args.services else set())
    if forgotten:
        print("no run lied about:", ", ".join(sorted(forgotten)))
    return int(told(reports) or bool(forgotten))


def shown(reports: Iterable[Report]) -> Iterable[Report]:
    """The reports; bad ones and the progress are printed."""
    for number, report in enumerate(reports, 1):
        if report.bad or not number % EVERY:
            print(f"{number}: {report}", flush=True)
        yield report


def told(reports: list[Report]) -> int:
    """Print the line at the end; 1 if a run was bad."""
    became = Counter(report.became for report in reports)
    if len(reports) == 1:
        print(reports[0])
    counts = {name: became[name] for name in ("aborted", "right", "wrong", "hung")}
    print(json.dumps({"runs": len(reports), **counts, "kinds": len(plan.attacked(reports))}))
    return int(any(report.bad for report in reports))


if __name__ == "__main__":
    sys.exit(main())
