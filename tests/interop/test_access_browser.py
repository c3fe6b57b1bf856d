"""The page on access in a real browser that runs no scripts: log in, ask, answer by a link, give back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from tests.support.chromium import chromium, missing_for_chromium, wait_for_text
from tests.support.form_browser import form_browser
from tests.support.logins import login_lab
from tests.support.prerequisites import require

POLICY = """{
  "acls": [],
  "tagOwners": {"tag:mgmt": []},
  "access": {"profiles": {"mgmt": {
    "src": ["autogroup:member"], "dst": ["tag:mgmt:22"], "approvers": ["boss@"], "reason": "required",
  }}},
}"""


def log_in(browser: Chrome, url: str) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(url)
    wait_for_text(browser, "Sign-in")
    browser.find_element(By.NAME, "login").send_keys("ada-1")
    browser.find_element(By.NAME, "password").send_keys("anything")
    browser.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
    wait_for_text(browser, "Authorize")
    browser.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
    wait_for_text(browser, "You are ada@example.com")


def ask(browser: Chrome) -> None:
    Select(browser.find_element(By.NAME, "node")).select_by_visible_text("laptop")
    browser.find_element(By.NAME, "reason").send_keys("disk <full>")
    browser.find_element(By.ID, "send").click()
    shown = wait_for_text(browser, "Your request is made.")
    assert "disk <full>" in shown


def answer(browser: Chrome, link: str) -> None:
    browser.get(link)
    assert "disk <full>" in wait_for_text(browser, "You answer as boss")
    browser.find_element(By.ID, "approve").click()
    wait_for_text(browser, "Access is open until")


def give_back(browser: Chrome, url: str) -> None:
    browser.get(url)
    wait_for_text(browser, "active")
    browser.find_element(By.ID, "give-back-1").click()
    wait_for_text(browser, "ended (given back)")
    browser.find_element(By.ID, "sign-out").click()
    wait_for_text(browser, "You are signed out here")


async def test_a_person_with_a_browser(tmp_path: Path) -> None:
    require(missing_for_chromium(), "pages in a browser")
    async with login_lab(tmp_path, policy=POLICY) as lab, form_browser() as joining:
        client = await lab.join(joining, "ada-1")
        await lab.running.call("POST", "/api/v1/user", json={"name": "boss"})
        url = f"{lab.running.url}/access"
        with chromium(tmp_path / "profile", "127.0.0.1") as browser:
            await asyncio.to_thread(log_in, browser, url)
            await asyncio.to_thread(ask, browser)
            made = await lab.running.call("POST", "/api/v1/access/requests/1/links")
            (links,) = made["links"]  # type: ignore[misc]
            await asyncio.to_thread(answer, browser, links["approve"])
            await asyncio.to_thread(give_back, browser, url)
        found = await lab.running.call("GET", "/api/v1/access/requests/1")
        assert found["request"]["end_reason"] == "given back"  # type: ignore[index]
        await client.close()
