"""The example for a vault makes exactly the Secrets, with the keys, that the workloads mount."""

import re
from typing import Any

import pytest

from deploy.helm.sources import rendered
from tests.deploy.certificates import Shelf, program
from tests.deploy.manifests import K8S, WORKLOADS, Manifest, of_kind, secrets_of

VAULT = K8S / "components" / "external-secrets"
ROLES = ("gateway", "dealer", "party-0", "party-1", "party-2")
# what a vault has is one string; here each says where it is from
_PLACE = re.compile(r"{{ \.(\w+) }}")


def made(role: str) -> dict[str, dict[str, str]]:
    """The Secrets that the External Secrets operator makes of a role's folder."""
    return {m["metadata"]["name"]: data_of(m) for m in rendered(VAULT / role)}


def data_of(external: Manifest) -> dict[str, str]:
    spec = external["spec"]
    read = {entry["secretKey"]: str(entry["remoteRef"]["property"]) for entry in spec["data"]}
    template = spec.get("target", {}).get("template", {}).get("data")
    if template is None:
        return read
    return {key: _PLACE.sub(lambda found: read[found[1]], value) for key, value in template.items()}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """The Secrets of a whole cell, as overlays/try makes them."""
    shelf = Shelf()
    assert program(tmp_path_factory.mktemp("made")).look(shelf)
    return shelf.data


@pytest.mark.parametrize("role", ROLES)
def secrets__should_be_those_that_the_roles_pods_mount(role: str) -> None:
    workloads = of_kind(rendered(K8S / "base" / role), *WORKLOADS)
    assert made(role).keys() == set().union(*map(secrets_of, workloads)) != set()


@pytest.mark.parametrize("role", ROLES)
def keys__should_be_those_of_the_cell_that_makes_its_own(role: str, kept: dict[str, dict[str, bytes]]) -> None:
    for name, data in made(role).items():
        assert data.keys() == kept[name].keys(), name
        constant = {key: kept[name][key].decode() for key in data if key == "username"}
        assert {key: data[key] for key in constant} == constant


@pytest.mark.parametrize("party", range(3))
def address_of_the_database__should_be_that_partys(party: int, kept: dict[str, dict[str, bytes]]) -> None:
    name = f"party-mongodb-{party}"
    given = {key: value.decode() for key, value in kept[name].items()}
    assert made(f"party-{party}")[name]["uri"] == given["uri"].replace(given["password"], "password")


@pytest.mark.parametrize("role", ROLES)
def items_that_pods_mount__should_be_there(role: str) -> None:
    for workload in of_kind(rendered(K8S / "base" / role), *WORKLOADS):
        for volume in (v["secret"] for v in workload["spec"]["template"]["spec"]["volumes"] if "secret" in v):
            items = {item["key"] for item in volume.get("items", ())}
            assert items <= made(role)[volume["secretName"]].keys()


@pytest.mark.parametrize("role", ROLES)
def each__should_be_read_from_the_store_and_from_a_place_of_its_own(role: str) -> None:
    store, account = of_kind(rendered(VAULT / "vault"), "SecretStore", "ServiceAccount")
    if store["kind"] != "SecretStore":
        store, account = account, store
    places: list[Any] = []
    for external in rendered(VAULT / role):
        reference = external["spec"]["secretStoreRef"]
        assert (reference["kind"], reference["name"]) == ("SecretStore", store["metadata"]["name"])
        places += {entry["remoteRef"]["key"] for entry in external["spec"]["data"]}
    assert len(places) == len(set(places))
    named = store["spec"]["provider"]["vault"]["auth"]["kubernetes"]["serviceAccountRef"]["name"]
    assert (named, account["automountServiceAccountToken"]) == (account["metadata"]["name"], False)


def dealers_secret__should_be_bytes_again() -> None:
    (master,) = [m for m in rendered(VAULT / "dealer") if m["metadata"]["name"] == "dealer-master"]
    (entry,) = master["spec"]["data"]
    assert entry["remoteRef"]["decodingStrategy"] == "Base64"
