"""The kind of training in front of the real routes: each says what it is worth and takes, and its fields alone are there."""

from __future__ import annotations

import pytest

from .real_api import running

expect = pytest.importorskip("playwright.sync_api").expect
FIELDS = ("network_dim", "token_string", "embedding_lr", "learning_rate_te")
KINDS = {
    "network": ("network_dim",),
    "embedding": ("token_string",),
    "pivotal": ("network_dim", "token_string", "embedding_lr"),
    "model": ("learning_rate_te",),
}

# Of each section its title, the number that it tells, and how many fields it shows.
COUNTS = """(sections) => sections.map((one) => [
    one.dataset.section, Number(one.querySelector("summary").children[1].textContent),
    [...one.querySelectorAll(".lt-field[data-name]")].filter((field) => field.checkVisibility()).length,
])"""


@pytest.fixture
def place(tmp_path):
    with running(tmp_path) as found:
        yield found


def test_each_kind_of_training_has_its_sentence_and_its_fields(open_page, place):
    page = open_page(place.address)
    page.click(".lt-advanced > summary")
    kinds = page.locator("#lt-trains .lt-kind")
    expect(kinds).to_have_count(len(KINDS))
    for number in range(len(KINDS)):
        expect(kinds.nth(number)).to_contain_text("disk" if number < 3 else "GB")
    page.evaluate("document.querySelectorAll('.lt-section').forEach((one) => (one.open = true))")
    for kind, shown in KINDS.items():
        page.check(f"#lt-trains input[value={kind}]")
        expect(page.locator("[data-section=the_whole_model]")).to_be_visible(visible=kind == "model")
        for name in FIELDS:
            field = page.locator(f"#lt-{name}")
            expect(field).to_be_visible() if name in shown else expect(field).to_be_hidden()
        counts = page.locator(".lt-section:visible").evaluate_all(COUNTS)
        assert counts and all(told == seen for _, told, seen in counts), (kind, counts)
    rate = page.locator("#lt-learning_rate")
    for kind, usual in (("model", "5e-6"), ("embedding", "0.005"), ("network", "1e-4")):  # each begins with its own
        page.check(f"#lt-trains input[value={kind}]")
        expect(rate).to_have_value(usual)
    rate.fill("2e-6")
    page.check("#lt-trains input[value=model]")
    expect(rate).to_have_value("2e-6")  # a person's own stays
    page.locator("[data-name=learning_rate] .lt-reset").click()
    expect(rate).to_have_value("5e-6")
    page.check("#lt-trains input[value=pivotal]")
    page.get_by_role("button", name="Use a folder on this machine").click()
    page.fill("#lt-image_dir", str(place.folder / "10_sls frog"))
    page.fill("#lt-identifier", "sls")
    answer = page.locator(".lt-plan")
    expect(answer).to_contain_text("4 images")
    expect(answer).to_contain_text("Disk: about")
    expect(page.locator("#lt-token_string-wrong")).to_be_hidden()  # the identifier is the word, and the captions hold it
