"""A real Chromium without a window, on the page of a ComfyUI, for tests."""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from visage.tests.comfy_server import Server

if TYPE_CHECKING:
    from selenium.webdriver.remote.webelement import WebElement

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent
# Kept to be looked at; git does not know it.
PICTURES = ROOT / ".build" / "screenshots"
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_SECONDS = 60
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-prefers-reduced-motion",
    "--window-size=1600,1000",
)
# Neither the questions of a first visit nor anything that lies over the nodes.
_SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Minimap.Visible": False, "Comfy.RightSidePanel.IsOpen": False}


def why_not() -> str | None:
    """Why no browser can be driven on this machine, or ``None`` where one can."""
    if find_spec("selenium") is None:
        return "needs selenium: pip install -e '.[dev]'"
    if not any(map(shutil.which, _CHROMIUM)) or shutil.which("chromedriver") is None:
        return "needs Chromium and its driver: make browser (as root, on Debian), or install chromium and chromedriver"
    return None


class Browser:
    """A page of a server, in one of the two looks of nodes.

    Args:
        profile: a new, empty folder.
        modern: nodes drawn by Vue ("Nodes 2.0"), else by the classic canvas.

    Attributes:
        is_modern: in which of the two.
        is_stuck: whether something did not come that was waited for. There is no use in going on then.
    """

    def __init__(self, server: Server, profile: Path, modern: bool) -> None:
        from selenium import webdriver

        self._server, self._name = server, "modern" if modern else "classic"
        self.is_modern = modern
        self._set(_SETTINGS | {"Comfy.VueNodes.Enabled": modern})
        options = webdriver.ChromeOptions()
        options.binary_location = str(next(filter(None, map(shutil.which, _CHROMIUM))))
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = str(shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(driver))
        self.driver.set_script_timeout(_SECONDS)
        self.messages: list[dict[str, Any]] = []
        self.is_stuck = False

    def stop(self) -> None:
        self.driver.quit()

    def open(self) -> None:
        """Loads the page, anew if it is loaded already, and waits until its graph can be worked with."""
        self.driver.get(self._server.address)
        self.wait(lambda: self.script("return Boolean(window.app?.rootGraph && window.app.isGraphReady !== false)"))
        self.wait(lambda: self.find("[data-testid=queue-button]"))

    def script(self, code: str, *values: Any) -> Any:
        """What JavaScript code returns; a promise is waited for."""
        return self.driver.execute_script(code, *values)

    def later(self, code: str) -> None:
        """Runs JavaScript code and waits until it calls ``done``."""
        self.driver.execute_async_script(f"const done = arguments[0]; {code}")

    def find(self, selector: str) -> list[WebElement]:
        """The elements of a CSS selector that are seen."""
        return [each for each in self.driver.find_elements("css selector", selector) if each.is_displayed()]

    def reading(self, text: str) -> list[WebElement]:
        """The elements that are seen with this text and nothing else in them."""
        path = f"//*[not(*) and normalize-space()='{text}']"
        return [each for each in self.driver.find_elements("xpath", path) if each.is_displayed()]

    def wait(self, found: Callable[[], T], seconds: float = _SECONDS) -> T:
        """What a function returns as soon as it is something."""
        from selenium.common.exceptions import StaleElementReferenceException

        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if result := found():
                    return result
            except StaleElementReferenceException:
                pass  # the page was drawn anew in between
            time.sleep(0.1)
        self.is_stuck = True
        self.picture("failed")
        raise AssertionError(f"nothing in {seconds} s; see {PICTURES}/{self._name}-failed.png")

    def one(self, selector: str) -> WebElement:
        """The first element of a CSS selector, as soon as it is seen."""
        return self.wait(lambda: self.find(selector))[0]

    def picture(self, name: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(PICTURES / f"{self._name}-{name}.png"))

    def errors(self) -> list[str]:
        """What the page has complained about so far."""
        self.messages += self.driver.get_log("browser")
        return [message["message"] for message in self.messages if message["level"] == "SEVERE"]

    def _set(self, settings: dict[str, Any]) -> None:
        request = urllib.request.Request(  # noqa: S310 - our own address
            self._server.address + "/settings", json.dumps(settings).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310
