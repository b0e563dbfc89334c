"""Configuration of a party."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, RootModel, StringConstraints, field_validator
from visard_common.address import Address
from visard_common.config import ServiceConfig
from visard_common.tls import Tls
from visard_wire.vouching import PARTY_ROLES, SERVICE_ROLES, Trust, check_named, read_roots

from visard_party.spread import MAX_WORKERS

DeploymentName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9._-]{1,64}$")]


def _not_all(one_in: int) -> int:
    if one_in == 1:
        raise ValueError("0, or 2 and more: of kits that are all audited none is left to be used")
    return one_in


class ComputingConfig(ServiceConfig):
    """What a party and its workers have in common: all that computes with its like at the two other parties."""

    index: int = Field(ge=0, le=2, description="this party's number")
    data_dir: Path = Field(description="store, kits and sealing keys")
    peers: tuple[Address, Address, Address] = Field(
        description="addresses of parties 0, 1, 2; the own entry is not used"
    )
    dealer: Address = Field(description="address of the dealer")
    store: str = Field(
        default="sqlite",
        repr=False,
        pattern=r"^(sqlite|mongodb(\+srv)?://.+)$",
        description="sqlite, or the mongodb:// URI of a server with a database of this party's own",
    )
    audit_one_in: Annotated[int, AfterValidator(_not_all)] = Field(
        default=16,
        ge=0,
        le=65536,
        description="one kit in so many is set aside to audit the dealer; the strictest of the three parties decides; 0: none",
    )
    stock_target: int = Field(default=4, ge=1, le=256, description="kits kept ready for each network")
    kit_memory_mb: int = Field(
        default=256,
        ge=0,
        le=65536,
        description="memory for kits that wait for their run; what is beyond it waits on disk",
    )
    max_batches: int = Field(default=2, ge=1, le=64, description="of those, at a time in a network (party 0 decides)")
    batch_wait: float = Field(
        default=2.0,
        ge=0,
        le=60,
        description="seconds that requests wait for company while a batch is under way that they cannot join (party 0 decides)",
    )
    peer_timeout: float = Field(default=10.0, gt=0, le=120, description="seconds a peer may take for a round")
    kit_wait: float = Field(default=5.0, gt=0, le=60, description="seconds a run may wait for a kit")
    run_timeout: float = Field(default=60.0, gt=0, le=600, description="longest run in seconds, waiting included")

    @field_validator("tls")
    @classmethod
    def _all_services_are_vouched_for(cls, tls: Tls) -> Tls:
        if tls.roots is not None:
            check_named(tls.roots, SERVICE_ROLES)
        return tls


class Partner(RootModel[dict[str, Path]]):
    """Files of the authorities that vouch for the parties of another deployment: each one's, or ``ca`` for all of them."""

    model_config = ConfigDict(frozen=True)

    @field_validator("root")
    @classmethod
    def _names_all_parties(cls, root: dict[str, Path]) -> dict[str, Path]:
        if set(root) not in ({"ca"}, set(PARTY_ROLES)):
            raise ValueError(f"either ca, or {', '.join(PARTY_ROLES)}")
        return root

    def trust(self) -> Trust:
        """What these files hold now; raises OSError and ValueError."""
        return Trust.one(self.root["ca"].read_bytes()) if "ca" in self.root else read_roots(self.root)


class PartyConfig(ComputingConfig):
    """One party's settings."""

    workers: tuple[Address, ...] = Field(
        default=(),
        max_length=MAX_WORKERS,
        description="addresses of this party's workers, in order, over which the references of a gallery are spread in searches; "
        "none: it holds them itself (party 0 says how many of them take part)",
    )
    sealing_key_hours: float = Field(
        default=24.0, gt=0, le=168, description="a sealing key is offered so long, and erased an hour later"
    )
    max_runs: int = Field(default=8, ge=1, le=64, description="runs at a time (party 0 decides)")
    max_queue: int = Field(default=64, ge=0, le=4096, description="runs waiting (party 0 decides)")
    max_deposit_mb: int = Field(default=512, ge=1, le=65536, description="memory for shares that wait for their run")
    refused_callers: frozenset[str] = Field(
        default=frozenset(), description='callers whose certificate is misused or lost, as in "enroller/kiosk-7"'
    )
    attempts_subject: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description="verifications of one subject within attempts_seconds; unset: as many as let a stranger match with a "
        "chance of 1 %, by the false match rate of the operating point; 0: no limit",
    )
    attempts_gallery: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description="all callers' searches in one gallery of a model; unset: 1 % for each reference; 0: no limit",
    )
    attempts_search: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description="one caller's searches in one gallery of a model; unset: 0.5 % for each reference; 0: no limit",
    )
    attempts_caller: int = Field(
        default=10_000, ge=0, le=1_000_000, description="a caller's verifications, comparisons and so on; 0: no limit"
    )
    enrolments_caller: int = Field(
        default=10_000, ge=0, le=10_000_000, description="references that a caller may enrol; 0: no limit"
    )
    max_references: int = Field(
        default=1_000_000, ge=1, le=100_000_000, description="references of one model, beyond which nobody is enrolled"
    )
    attempts_seconds: float = Field(
        default=3600.0, ge=1, le=30 * 86400, description="time in which a budget that is used up comes back, evenly"
    )
    export_to: dict[DeploymentName, Partner] = Field(
        default={},
        description="deployments that administrators may export galleries to, by a name of yours: the authority of each of its "
        'parties ("party/0" to "party/2"), or ca where it has one for all; none: nothing leaves',
    )
    import_from: dict[DeploymentName, Partner] = Field(
        default={}, description="deployments that they may import galleries from, likewise; none: nothing comes in"
    )
    audit_days: int = Field(
        default=400, ge=1, le=10_000, description="days for which the log of who asked for what is kept"
    )
    admin_timeout: float = Field(default=600.0, gt=0, le=86400, description="longest refresh or recovery in seconds")
