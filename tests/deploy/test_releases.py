"""Policies for signed images are about the images that the manifests name. What they do is tried by ``make signing-test``."""

import json
import re

import yaml
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from deploy.helm.sources import K8S, images
from tests.deploy.manifests import of_kind
from tests.deploy.signing import SIGNING, commands

OURS = {image["repository"] for name, image in images().items() if name.startswith("visard-")}
REGISTRY = "registry.example/visard"


def cluster__should_ask_for_signature_and_bill_of_our_images_and_digests_of_all() -> None:
    (policy,) = of_kind(list(yaml.safe_load_all((K8S / "components/signed-images/policy.yaml").read_text())), "Policy")
    ours, others = policy["spec"]["rules"]
    (verified,) = ours["verifyImages"]
    (pattern,) = verified["imageReferences"]
    assert OURS
    assert all(re.fullmatch(pattern.replace("*", "[a-z]+"), name) for name in OURS)
    assert (verified["required"], verified["verifyDigest"], verified["failureAction"]) == (True, True, "Enforce")
    (attestation,) = verified["attestations"]
    assert attestation["type"] == "https://cyclonedx.org/bom"
    assert attestation["attestors"] == verified["attestors"] != []
    assert others["validate"]["foreach"][0]["pattern"] == {"image": "*@sha256:*"}
    assert policy["spec"]["failurePolicy"] == "Fail"


def key_in_the_policy__should_be_nobodys() -> None:
    text = (K8S / "components/signed-images/policy.yaml").read_text()
    (body,) = re.findall(r"-----BEGIN PUBLIC KEY-----(.*?)-----END", text, re.DOTALL)
    try:
        load_pem_public_key(f"-----BEGIN PUBLIC KEY-----{body.replace(' ', '')}-----END PUBLIC KEY-----\n".encode())
    except ValueError:
        return  # no point of the curve: a policy that was not changed lets nothing run
    raise AssertionError("a key that somebody may have")


def nodes_policy__should_be_about_our_images_and_their_names() -> None:
    policy = json.loads((SIGNING / "policy.json").read_text())
    ((scope, (rule,)),) = policy["transports"]["docker"].items()
    assert scope == REGISTRY
    assert all(name.startswith(f"{scope}/") for name in OURS)
    assert (rule["type"], rule["signedIdentity"]) == ("sigstoreSigned", {"type": "matchRepository"})
    registries = yaml.safe_load((SIGNING / "registries.yaml").read_text())
    assert registries["docker"][scope] == {"use-sigstore-attachments": True}


def page__should_name_our_registry_and_digests_in_every_command() -> None:
    for command in (*commands("release"), *commands("operator")):
        if "registry.example" in command:
            assert re.search(rf"{REGISTRY}/party@sha256:\.\.\.$", command), command
        assert "--key" in command or command in ("cosign generate-key-pair", "make sbom")
