"""A share of ``python -m bench.churn``: under churn, crashes and restarts the log of writes stays as short as it must be."""

from pathlib import Path

from visard_common.limits import MAX_EXPIRY_MS
from visard_party.consistency.horizon import STEP_MS

from bench.churn import LONGEST_SECONDS, Day

KEPT_MS = 3 * MAX_EXPIRY_MS + 1000 * LONGEST_SECONDS + 2 * STEP_MS  # from a request until its entry is gone


async def log_of_writes__should_stay_short_and_hold_what_may_come_again(tmp_path: Path) -> None:
    day = Day(tmp_path, look_seconds=60.0)
    await day.run(240, hours=5)
    for before, hour in zip(day.hours, day.hours[1:], strict=False):
        assert hour.rows["writes"] <= before.made + hour.made, f"entries older than {KEPT_MS / 60_000} minutes"
        assert hour.rows["tombstones"] <= hour.rows["writes"]
