"""The pages in a real Chromium, on a real training."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.e2e.conftest import Dev

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium: apt install chromium"),
]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]


@pytest.fixture(scope="module")
def browser_page(dev: Dev) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page(base_url=dev.url, viewport={"width": 1400, "height": 900})
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        yield page
        browser.close()
    # Pages that are not there, and a service that a test had stopped, are no faults of the scripts.
    assert [fault for fault in faults if "Failed to load resource" not in fault] == []


def test_curves_grow_while_the_page_is_open(dev: Dev, browser_page: Page) -> None:
    page = browser_page
    number = dev.submit("browser-live", epochs=5, config={"epochs": 5, "img_size": 64, "batch_size": 4, "nbs": 4})
    page.goto(f"/training/{number}")
    expect(page.locator("#curves .chart").first).to_be_visible(timeout=60_000)
    expect(page.locator("#progress-words")).to_have_text("Epoch 4 of 5", timeout=60_000)
    page.locator("#data summary").click()
    expect(page.locator("#head .state")).to_contain_text("completed", timeout=60_000)
    assert page.locator("#data").get_attribute("open") is not None, "what was opened stays open"
    expect(page.locator("#data tbody tr")).to_have_count(5)
    expect(page.locator("#lost")).to_be_hidden()


def test_pictures_are_enlarged_and_walked(dev: Dev, browser_page: Page) -> None:
    page = browser_page
    expect(page.locator(".pair img").first).to_be_visible()
    page.locator("a.shot").first.click()
    expect(page.locator("#picture")).to_be_visible()
    expect(page.locator("#caption")).to_contain_text("Labels, val_batch0_labels.jpg")
    page.keyboard.press("b")
    expect(page.locator("#caption")).to_contain_text("Predictions, val_batch0_pred.jpg")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#caption")).to_contain_text("Labels")
    page.keyboard.press("Escape")
    expect(page.locator("#picture")).to_be_hidden()


def test_cancel_asks_first_and_resume_goes_on(dev: Dev, browser_page: Page) -> None:
    page = browser_page
    number = dev.submit("browser-cancel", epochs=40)
    dev.wait_for_epoch(number, 2)
    page.goto(f"/training/{number}")
    questions: list[str] = []

    def refuse(dialog: object) -> None:
        questions.append(dialog.message)  # type: ignore[attr-defined]
        dialog.dismiss()  # type: ignore[attr-defined]

    page.once("dialog", refuse)
    page.get_by_role("button", name="Cancel").click()
    assert "is kept" in questions[0]
    assert dev.run(number)["state"] == "training"
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#head .state")).to_contain_text("cancelled", timeout=30_000)
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#head .state")).not_to_contain_text("cancelled", timeout=10_000)
    dev.http.post(f"/runs/{number}/cancel")
    dev.wait_for_end(number, "cancelled")


def test_the_list_is_walked_by_keys_and_filtered(dev: Dev, browser_page: Page) -> None:
    page = browser_page
    page.goto("/training")
    first = page.locator("table.list tbody tr").first
    page.keyboard.press("j")
    expect(first).to_have_class("at")
    page.keyboard.press("Enter")
    page.wait_for_url("**/training/*")
    page.goto("/training")
    page.keyboard.press("/")
    page.keyboard.type("browser-live")
    page.keyboard.press("Enter")
    expect(page.locator("table.list tbody tr")).to_have_count(1)
    page.keyboard.press("?")


def test_a_page_without_scripts_shows_the_data(dev: Dev, browser_page: Page) -> None:
    browser = browser_page.context.browser
    assert browser is not None
    plain = browser.new_context(java_script_enabled=False, base_url=dev.url)
    page = plain.new_page()
    page.goto("/training?q=browser-live")
    page.locator("table.list tbody a").first.click()
    expect(page.locator("#curves .chart")).to_have_count(4)
    plain.close()


@pytest.mark.parametrize("width", [1400, 900, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_at_any_width(dev: Dev, browser_page: Page, width: int, scheme: str) -> None:
    page = browser_page
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    for path in ("/training", "/training/1", "/signin", "/training/999999"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
