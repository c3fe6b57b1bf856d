"""A person with a browser: the stock client's link, the provider's pages, our question, a machine online."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.interop.conftest import NewClient
from tests.support.chromium import chromium, missing_for_chromium, take_screenshot, wait_for_text
from tests.support.clients import VERSIONS
from tests.support.lab import Lab
from tests.support.logins import OFFLINE, ada
from tests.support.oidc_provider import IdentityProvider, missing_for_provider
from tests.support.prerequisites import require
from tests.support.server_process import Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually


@dataclass
class Place:
    """A provider and a server that trusts it."""

    provider: IdentityProvider
    server: Server


@pytest.fixture(scope="module")
def place(lab: Lab) -> Iterator[Place]:
    require([*missing_for_provider(), *missing_for_chromium()], "logins with a browser")
    server = lab.server(start=False)
    provider = IdentityProvider(server.folder, server.address, 18090, server.url)
    provider.set_account("ada-1", **ada())
    provider.start()
    settings = yaml.safe_load(server.config_path.read_text())
    settings["oidc"] = dict(provider.configuration(**OFFLINE, refresh_interval="1s"))
    server.config_path.write_text(yaml.safe_dump(settings))
    server.start()
    yield Place(provider, server)
    provider.stop()


@pytest.fixture
def browser(place: Place, tmp_path: Path) -> Iterator[Chrome]:
    with chromium(tmp_path / "profile", place.server.address) as started:
        yield started


@contextmanager
def waiting_up(client: StockClient) -> Iterator[subprocess.Popen[str]]:
    process = client.spawn_up()
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def log_in(browser: Chrome, url: str, subject: str) -> None:
    browser.get(url)
    wait_for_text(browser, "Sign-in")
    browser.find_element(By.NAME, "login").send_keys(subject)
    browser.find_element(By.NAME, "password").send_keys("anything")
    browser.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
    wait_for_text(browser, "Authorize")
    browser.find_element(By.CSS_SELECTOR, "button[type=submit]").click()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_person_logs_a_machine_in(
    place: Place, new_client: NewClient, browser: Chrome, tmp_path: Path, version: str
) -> None:
    client = new_client("browser", version=version)
    with waiting_up(client) as up:
        url = str(eventually(lambda: client.status().get("AuthURL"), "the client to show a link"))
        assert url.startswith(f"{place.server.url}/register/")
        log_in(browser, url, "ada-1")
        shown = wait_for_text(browser, "Is this yours?")
        assert client.name in shown
        assert "ada@example.com" in shown
        take_screenshot(browser, tmp_path / "confirm.png")
        assert client.state() == "NeedsLogin"
        browser.find_element(By.ID, "confirm").click()
        wait_for_text(browser, f"The machine joined as {client.name}")
        take_screenshot(browser, tmp_path / "done.png")
        output, _ = up.communicate(timeout=15)
    assert up.returncode == 0, output
    client.wait_state("Running")
    node = place.server.node(client.name)
    assert node["registerMethod"] == "REGISTER_METHOD_OIDC"
    assert node["user"]["email"] == "ada@example.com"
    browser.find_element(By.CSS_SELECTOR, "form[action='/oidc/sign-out'] button").click()
    wait_for_text(browser, "Do you want to sign-out")


def test_whom_the_provider_removes_loses_their_machines(
    place: Place, new_client: NewClient, browser: Chrome
) -> None:
    place.provider.set_account("bob-1", **ada() | {"email": "bob@example.com", "preferred_username": "bob"})
    client = new_client("leaver")
    with waiting_up(client) as up:
        log_in(browser, str(eventually(lambda: client.status().get("AuthURL"), "a link")), "bob-1")
        wait_for_text(browser, "Is this yours?")
        browser.find_element(By.ID, "confirm").click()
        wait_for_text(browser, "The machine joined")
        output, _ = up.communicate(timeout=15)
    assert up.returncode == 0, output
    client.wait_state("Running")
    place.provider.remove_account("bob-1")
    client.wait_state("NeedsLogin")
