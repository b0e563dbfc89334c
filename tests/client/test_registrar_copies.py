"""Keys that two have: who renews one that was passed by ends the renewals of all that came of its invitation."""

from pathlib import Path

import pytest
from visard.errors import PermissionDenied
from visard.registrar.book import Book, Copied
from visard.registrar.config import Folder
from visard.registrar.service import Registrar
from visard_wire.statements import Holder

from tests.client.registering import SETTINGS, Clock, csr, enrolment, new_key, registrar_at, renewal, secret


class Browser:
    """What a browser does."""

    def __init__(self, folder: Folder) -> None:
        self._folder, self._clock = folder, Clock()
        self._registrar = Registrar(folder, SETTINGS, self._clock)

    def enrol(self, name: str = "ada") -> Holder:
        key = new_key()
        _, made = self._registrar.enrol(enrolment(secret(self._folder, name), csr(key)))
        return Holder(made.chain, key)

    def renew(self, old: Holder) -> Holder:
        key = new_key()
        _, made = self._registrar.renew(*renewal(old, csr(key), self._clock.ms))
        return Holder(made.chain, key)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return registrar_at(tmp_path)


@pytest.fixture
def browser(folder: Folder) -> Browser:
    return Browser(folder)


def answer_that_was_lost__should_cost_nothing(browser: Browser) -> None:
    old = browser.enrol()
    for _ in range(3):
        browser.renew(old)  # and never used
    old = browser.renew(old)
    for _ in range(3):
        old = browser.renew(old)


@pytest.mark.parametrize("owners", [1, 2])
def copy__should_end_with_its_owner(folder: Folder, browser: Browser, owners: int) -> None:
    """Whoever renews first, and then again: when the other one comes, all ends. Other invitations go on."""
    other, again = browser.enrol("eve"), browser.enrol()
    old = browser.enrol()
    stolen, own = browser.renew(old), browser.renew(old) if owners == 2 else old
    stolen = browser.renew(stolen)
    with pytest.raises(Copied, match="copied"):
        browser.renew(own)
    for one in (old, own, stolen):
        with pytest.raises(PermissionDenied, match="not renewed any more"):
            browser.renew(one)
    assert sum(one.revoked for one in Book(folder.book).valid(0)) == 2 + owners
    browser.renew(other)
    browser.renew(again)
