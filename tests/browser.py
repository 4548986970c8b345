"""Chromium on the Prefect UI, as an operator uses it: by labels and visible words."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

PATIENCE_SECONDS = 40.0
SCREENSHOTS = Path(__file__).resolve().parents[1] / "reports" / "browser"
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1700,1150",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
# The control behind a label: the first one in the fieldset that follows it.
CONTROL = (
    "//label[starts-with(normalize-space(), '{}')]/following::fieldset[1]"
    "//*[self::button or self::input or self::textarea][1]"
)
FIELD = "//label[starts-with(normalize-space(), '{}')]/following::fieldset[1]//*[self::input or self::textarea][1]"
# Without a GPU the moving graph of a run that has not ended takes a second a frame, and every click and key waits for one.
SHOW_GRAPHS = "document.adoptedStyleSheets = []"
HIDE_GRAPHS = """
const sheet = new CSSStyleSheet();
sheet.replaceSync("canvas { display: none !important; }");
document.adoptedStyleSheets = [sheet];
"""
FEWER_FRAMES = """
window.requestAnimationFrame = callback => setTimeout(() => callback(performance.now()), 200);
window.cancelAnimationFrame = clearTimeout;
"""
DIALOG_BUTTON = "*[@role='dialog' or @role='alertdialog']//button"
TAB = "//label[starts-with(normalize-space(), '{}')]/following::fieldset[1]//*[@role='tab'][normalize-space()='{}']"
T = TypeVar("T")


class Browser:
    """One window. Every look waits for what it looks for."""

    def __init__(self, driver: webdriver.Chrome, address: str) -> None:
        self.driver = driver
        self.address = address

    def open(self, path: str) -> None:
        """Go to a page of the UI, such as /deployments."""
        self.driver.get(f"{self.address}/v2{path}")

    def see(self, *words: str) -> None:
        """Wait until all these words stand on the page."""
        self._wait(f"see {words}", lambda: all(word in self.text() for word in words))

    def see_pictures(self) -> None:
        """Wait until the page has pictures, and each of them is one that a browser can draw."""
        pictures = "const pictures = [...document.querySelectorAll('img[src]')];"
        drawn = f"{pictures} return pictures.length > 0 && pictures.every(one => one.naturalWidth > 0)"
        self._wait("see the pictures", lambda: bool(self.driver.execute_script(drawn)))

    def text(self) -> str:
        """What stands on the page."""
        return str(self.driver.find_element(By.TAG_NAME, "body").text)

    def click(self, words: str, element: str = "*") -> None:
        """Click what bears exactly these words."""
        self._wait(f"click {words}", lambda: self._click_one(f"//{element}[normalize-space()={words!r}]"))

    def answer(self, words: str) -> None:
        """Press a button of the dialog that is open."""
        self.click(words, DIALOG_BUTTON)

    def menu(self, words: str) -> None:
        """Choose from the page's own menu, the three dots at its top."""
        self._wait("open the menu", lambda: self._click_one("//button[.//span[text()='Open menu']]"))
        self.click(words, "*[@role='menuitem']")

    def choose(self, label: str, option: str) -> None:
        """Choose from the drop-down behind a label."""
        self.press(label)
        self.click(option, "*[@role='option']")

    def press(self, label: str) -> None:
        """Press the switch or button behind a label."""
        self._wait(f"press {label}", lambda: self._click_one(CONTROL.format(label)))

    def tab(self, label: str, words: str) -> None:
        """Choose between the kinds of value that a field may have, such as path and None."""
        self._wait(f"choose {words} for {label}", lambda: self._click_one(TAB.format(label, words)))

    def type(self, label: str, text: str) -> None:
        """Write into the field behind a label, over what was there."""
        field = self._wait(f"find {label}", lambda: self._find(FIELD.format(label)))
        self._show(field)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)

    def screenshot(self, name: str) -> None:
        """Keep a picture of the window as test output."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.driver.execute_script(SHOW_GRAPHS)
        time.sleep(1)  # what moves has come to rest
        self.driver.save_screenshot(str(SCREENSHOTS / f"{name}.png"))
        self.driver.execute_script(HIDE_GRAPHS)

    def _click_one(self, path: str) -> bool:
        found = self._find(path)
        self._show(found)
        found.click()
        return True

    def _find(self, path: str) -> WebElement:
        shown = [one for one in self.driver.find_elements(By.XPATH, path) if one.is_displayed()]
        if not shown:
            message = f"nothing is shown at {path}"
            raise WebDriverException(message)
        return shown[-1]

    def _show(self, element: WebElement) -> None:
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)

    def _wait(self, what: str, attempt: Callable[[], T]) -> T:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                if done := attempt():
                    return done
                reason = "not yet"
            except WebDriverException as error:
                reason = str(error.msg)
            if time.monotonic() > deadline:
                self.screenshot("failed")
                pytest.fail(f"could not {what}: {reason}; on the page {self.driver.current_url}:\n{self.text()[:3000]}")
            time.sleep(0.2)


@contextmanager
def open_browser(address: str) -> Iterator[Browser]:
    """A window that reaches this machine alone. Skips, or in CI fails, where there is no Chromium."""
    programs = [shutil.which("chromium"), shutil.which("chromedriver")]
    if None in programs:
        message = "needs Chromium and its driver: apt-get install chromium chromium-driver; .ci/run has them"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with tempfile.TemporaryDirectory(prefix="campaign-chromium-", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = str(programs[0])
        for flag in [*FLAGS, f"--user-data-dir={profile}"]:
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(programs[1]))
        try:
            driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": HIDE_GRAPHS + FEWER_FRAMES})
            yield Browser(driver, address)
        finally:
            driver.quit()
