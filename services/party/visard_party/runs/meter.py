"""What a run costs this party."""

import time
from dataclasses import dataclass, field


@dataclass
class Meter:
    """Times in seconds, from when this party was asked; filled in while the run goes on."""

    started: float = field(default_factory=time.monotonic)
    queued: float = 0.0
    engine: float = 0.0
    cpu: float = 0.0
    kit_bytes: int = 0
