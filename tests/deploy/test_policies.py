"""Network policies allow the arrows of the architecture, and no others."""

from tests.deploy.manifests import arrows, beyond, of_kind, rendered

CELL = {
    *((("gateway", f"party-{i}", 7310)) for i in range(3)),
    *((f"party-{i}", f"party-{j}", 7310) for i in range(3) for j in range(3)),
    *((f"party-{i}", "dealer", 7301) for i in range(3)),
    *((f"party-{i}", f"party-mongodb-{i}", 27017) for i in range(3)),
}


def policies__should_allow_the_arrows_of_the_architecture_and_no_others() -> None:
    assert arrows(rendered("try")) == CELL


SPREAD = {
    *((f"party-{i}", f"worker-{i}", 7320) for i in range(3)),
    *((f"worker-{i}", f"worker-{j}", 7320) for i in range(3) for j in range(3)),
    *((f"worker-{i}", "dealer", 7301) for i in range(3)),
    *((f"worker-{i}", f"party-mongodb-{i}", 27017) for i in range(3)),
}


def workers__should_reach_their_like_and_be_reached_by_their_own_party() -> None:
    assert arrows(rendered("scale")) == CELL | SPREAD


def operators_party__should_reach_its_database_and_networks_by_address_only() -> None:
    manifests = rendered("operator")
    assert arrows(manifests) == {("party-0", "party-mongodb-0", 27017)}
    (party,) = [m for m in of_kind(manifests, "NetworkPolicy") if m["metadata"]["name"] == "party-0"]
    sources = [peer for rule in party["spec"]["ingress"] for peer in rule["from"]]
    assert sum("ipBlock" in peer for peer in sources) == 4
    assert not any(peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0" for peer in sources)


DNS = "k8s-app=kube-dns metadata.name=kube-system"
PROMETHEUS = "metrics=true"
OUTSIDE = {
    ("gateway", "ingress", "anybody", 7300),
    *((name, "ingress", PROMETHEUS, 7391) for name in ("gateway", "dealer", "party-0", "party-1", "party-2")),
    *((name, "egress", DNS, 53) for name in ("gateway", "party-0", "party-1", "party-2")),
}


def policies__should_open_a_cell_to_callers_prometheus_and_names_only() -> None:
    keeper = {("certificates", "egress", "anybody", port) for port in (443, 6443)} | {
        ("certificates", "egress", DNS, 53)
    }
    assert beyond(rendered("try")) == OUTSIDE | keeper
    workers = [f"worker-{i}" for i in range(3)]
    theirs = {*((w, "ingress", PROMETHEUS, 7391) for w in workers), *((w, "egress", DNS, 53) for w in workers)}
    assert beyond(rendered("scale")) == OUTSIDE | keeper | theirs


def operators_party__should_be_open_to_these_networks_only() -> None:
    peers = ("198.51.100.0/28", "198.51.100.16/28", "203.0.113.0/28")
    assert beyond(rendered("operator")) == {
        *(("party-0", direction, peer, 7310) for direction in ("ingress", "egress") for peer in peers),
        ("party-0", "ingress", "192.0.2.0/28", 7310),
        ("party-0", "egress", "192.0.2.16/28", 7301),
        ("party-0", "ingress", PROMETHEUS, 7391),
        ("party-0", "egress", DNS, 53),
    }


def rule_that_opens_more__should_be_noticed() -> None:
    manifests = rendered("try")
    policies = {m["metadata"]["name"]: m["spec"] for m in of_kind(manifests, "NetworkPolicy")}
    policies["dealer"]["egress"] = [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]}]
    assert ("dealer", "egress", "0.0.0.0/0", 443) in beyond(manifests) - OUTSIDE


def wider_rules__should_be_noticed() -> None:
    manifests = rendered("try")
    policies = {m["metadata"]["name"]: m["spec"] for m in of_kind(manifests, "NetworkPolicy")}
    del policies["party-mongodb-0"]["ingress"][0]["from"]
    assert arrows(manifests) == CELL, "nobody else may send: it takes both sides"
    (to,) = policies["party-1"]["egress"][2]["to"]
    del to["podSelector"]["matchLabels"]["visard.dev/party"]
    assert arrows(manifests) == CELL | {("party-1", "party-mongodb-0", 27017)}


def missing_policies__should_be_noticed() -> None:
    manifests = rendered("try")
    kept = [
        m for m in manifests if m["kind"] != "NetworkPolicy" or m["metadata"]["name"] not in ("dealer", "default-deny")
    ]
    assert ("dealer", "gateway", 7300) in arrows(kept) - CELL
