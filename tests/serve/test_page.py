"""The page in a real browser: drawn on, played with, unplugged."""

import contextlib
import dataclasses
import functools
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsnjax import bundle
from dsnjax.data import formats
from dsnjax.export import onnx
from dsnjax.export.about import About
from dsnjax.serve import runtime, site

pytestmark = [pytest.mark.browser]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ROOF = [[0.2, 0.5, 0.8], [0.6, 0.2, 0.6]]
WALL = [[0.2, 0.2, 0.8, 0.8], [0.6, 0.9, 0.9, 0.6]]
BLOCKED = {"profile": {"default_content_setting_values": {"cookies": 2}}}  # all storage is
LATE = """
export const env = { wasm: {} };
export class Tensor {}
const session = { inputNames: [], run: async () => ({ probabilities: { data: [1] } }) };
export const InferenceSession = {
  create: () => {
    document.body.dataset.awaited = "true";
    return new Promise((go) => (window.arrive = () => go(session)));
  },
};
"""  # a runtime whose network comes when it is let
HOSTILE = "<script>ran=1</script><img src=x onerror=ran=1>"


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(gate, serving, tmp_path_factory):
    with serving(gate, collect=tmp_path_factory.mktemp("collected")) as address:
        yield address


@pytest.fixture(scope="module")
def model():
    """The trained model of the repository, as the page is given it."""
    return site.Model.of(bundle.read(bundle.PRETRAINED))


@pytest.fixture
def visit(browser):
    """Opens an address in a page of its own; whatever the page complains of fails the test."""
    contexts, complaints = [], []

    def opened(address: str, profile: Path | None = None, **options):
        if profile:
            context = browser.browser_type.launch_persistent_context(
                profile, executable_path=CHROMIUM, args=FLAGS, **options
            )
        else:
            context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.extend(_foreign(request.url)))
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def _foreign(url: str) -> list[str]:
    local = url.startswith(("http://127.0.0.1:", "blob:http://127.0.0.1:", "data:"))
    return [] if local else [f"asked {url}"]


def draw(page, *strokes) -> None:
    """Draws strokes, shares of the pad's side, with the mouse."""
    pad = page.locator("#pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    for xs, ys in strokes:
        places = [
            (box["x"] + x * box["width"], box["y"] + y * box["height"])
            for x, y in zip(xs, ys, strict=True)
        ]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place)
        page.mouse.up()


def guesses(page) -> list[str]:
    return page.locator("#guesses li span:first-child").all_inner_texts()


def first(page, name: str) -> None:
    """Waits until the first guess is this one."""
    page.locator("#guesses li:first-child span", has_text=name).first.wait_for()


def test_each_stroke_is_followed_by_a_guess_and_undo_takes_one_back(visit, address):
    page = visit(address)
    assert page.get_by_role("button", name="Undo").is_disabled()
    draw(page, ROOF)
    first(page, "ant")
    draw(page, WALL)
    first(page, "bird")
    assert len(guesses(page)) == 3
    page.get_by_role("button", name="Undo").click()
    first(page, "ant")
    draw(page, WALL)
    first(page, "bird")
    page.keyboard.press("Control+z")
    first(page, "ant")
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function("document.querySelectorAll('#guesses span').length === 0")
    assert page.get_by_role("button", name="Clear").is_disabled()


def test_the_guess_is_spoken(visit, address):
    page = visit(address)
    draw(page, ROOF)
    page.get_by_role("status").filter(has_text="I think it is an ant.").wait_for()


def test_it_shows_the_image_and_where_the_network_looks(visit, address):
    page = visit(address)
    draw(page, ROOF, WALL)
    first(page, "bird")
    levels = page.evaluate(
        """() => {
            const seen = document.getElementById("seen");
            const { data } = seen.getContext("2d").getImageData(0, 0, seen.width, seen.height);
            return [seen.width, ...new Set(data.filter((_, i) => i % 4 === 0))];
        }"""
    )
    assert levels[0] == 32
    assert {0, 125, 138} <= set(levels[1:])
    assert page.locator("#looked-at").inner_text().startswith("Where it looks: 67 % at the image")


def test_a_finger_draws_without_scrolling_the_page(visit, address):
    page = visit(address, viewport={"width": 390, "height": 844}, has_touch=True)
    devtools = page.context.new_cdp_session(page)
    places = [{"x": 100, "y": 200}, {"x": 150, "y": 250}, {"x": 120, "y": 330}]
    for kind, place in zip(("Start", "Move", "Move"), places, strict=True):
        event = {"type": f"touch{kind}", "touchPoints": [place]}
        devtools.send("Input.dispatchTouchEvent", event)
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    first(page, "ant")
    assert page.evaluate("scrollY") == 0


def test_the_keyboard_draws_as_well(visit, address):
    page = visit(address)
    page.locator("#pad").focus()
    for key in [*["Space", "ArrowLeft", "ArrowUp", "Space"], *["Space", "ArrowDown", "Space"]]:
        page.keyboard.press(key)
    first(page, "bird")


def test_a_game_asks_for_words_until_the_time_is_up(visit, address):
    page = visit(address)
    page.clock.install(time=0)
    page.clock.pause_at(3_600_000)
    page.get_by_role("button", name="Draw me a …").click()
    strokes = {"ant": [ROOF], "bird": [ROOF, WALL], "cat": [ROOF, WALL, ROOF]}
    asked = []
    for turn in range(3):
        task = page.locator("#task").inner_text()
        asked.append(task.removeprefix("Draw a").removeprefix("n").split()[0])
        assert task.endswith(f"({turn + 1} of 3)")
        assert page.locator("#clock").inner_text() == "0:20"
        if turn == 2:  # too late
            page.clock.run_for(20_000)
        else:
            draw(page, *strokes[asked[-1]])
            page.get_by_role("status").filter(has_text="Oh, it is").wait_for()
        page.clock.run_for(2000)
    assert sorted(asked) == ["ant", "bird", "cat"]
    dialog = page.get_by_role("dialog", name="2 of 3 found")
    dialog.wait_for()
    assert dialog.get_by_role("listitem").all_inner_texts() == [
        f"{asked[0]} ✓",
        f"{asked[1]} ✓",
        f"{asked[2]} ✗",
    ]
    dialog.get_by_role("button", name="Close").click()
    assert page.locator("#task").inner_text() == "Draw anything."


def test_a_drawing_is_taken_away_as_ndjson_and_svg(visit, address, tmp_path):
    page = visit(address)
    draw(page, ROOF, WALL)
    first(page, "bird")
    with page.expect_download() as caught:
        page.get_by_role("button", name="Download ndjson").click()
    caught.value.save_as(tmp_path / "drawing.ndjson")
    (row,) = formats.read([tmp_path / "drawing.ndjson"])
    assert isinstance(row, formats.Drawing)
    assert [len(xs) for xs, _ in row.drawing] == [3, 4]
    with page.expect_download() as caught:
        page.get_by_role("button", name="Download SVG").click()
    assert Path(caught.value.path()).read_text().count("M") == 2


def test_drawings_saved_under_a_new_name_stay_and_become_a_file(visit, address, tmp_path):
    page = visit(address)
    name = "<b>house</b>"  # refused: the server would not keep a file of that name
    for _ in range(2):
        draw(page, ROOF, WALL)
        page.get_by_label("Name of what you drew").fill("my house")
        page.get_by_role("button", name="Save drawing").click()
        page.get_by_text("Saved: my house.").wait_for()
        page.locator("#hint").wait_for()
    draw(page, ROOF)
    page.get_by_label("Name of what you drew").fill(name)
    page.get_by_role("button", name="Save drawing").click()
    page.get_by_text("A name has letters").wait_for()
    page.reload()
    page.wait_for_selector("body[data-ready]")
    page.get_by_text("my house · 2").wait_for()
    with page.expect_download() as caught:
        page.get_by_role("button", name="Download my house").click()
    assert caught.value.suggested_filename == "my house.ndjson"
    caught.value.save_as(tmp_path / "my house.ndjson")
    read = formats.read([tmp_path / "my house.ndjson"])
    rows = [row for row in read if isinstance(row, formats.Drawing)]
    assert [row.word for row in rows] == ["my house", "my house"]
    page.get_by_role("button", name="Remove my house").click()
    page.get_by_text("my house · 2").wait_for(state="detached")


@pytest.mark.parametrize("name", ["constructor", "__proto__"])
def test_a_name_may_be_that_of_what_every_object_has(visit, address, name):
    page = visit(address)
    draw(page, ROOF)
    page.get_by_label("Name of what you drew").fill(name)
    page.get_by_role("button", name="Save drawing").click()
    page.get_by_text(f"{name} · 1").wait_for()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"status": 500}, "it answered 500"),
        ({"body": "<!doctype html>"}, "is not valid JSON"),
        (None, "Failed to fetch"),
    ],
    ids=["refused", "another page", "unreachable"],
)
def test_a_page_without_its_model_says_why_and_what_to_do(browser, address, answer, why):
    with browser.new_context() as context:
        page = context.new_page()
        page.route(
            "**/model.json", lambda route: route.fulfill(**answer) if answer else route.abort()
        )
        page.goto(address)
        note = page.locator("#note", has_text="model.json cannot be loaded")
        note.wait_for()
        assert why in note.inner_text()
        assert note.inner_text().endswith("See that the server runs, then reload this page.")


def test_a_page_opened_as_a_file_says_how_to_start_it(browser):
    with browser.new_context() as context:
        page = context.new_page()
        page.goto((site.PAGE / "index.html").as_uri())
        late = page.get_by_text("serve its folder")
        assert not late.is_visible()
        late.wait_for()


def test_a_browser_that_stores_nothing_draws_and_says_so_when_asked_to_save(
    visit, address, tmp_path
):
    (tmp_path / "Default").mkdir()
    (tmp_path / "Default" / "Preferences").write_text(json.dumps(BLOCKED))
    page = visit(address, profile=tmp_path)
    draw(page, ROOF)
    first(page, "ant")
    page.get_by_label("Name of what you drew").fill("my house")
    page.get_by_role("button", name="Save drawing").click()
    page.get_by_text("This browser keeps no drawings: let this page store data.").wait_for()
    assert page.locator("#kept li").count() == 0


def test_a_label_is_shown_as_text(visit, gate, serving, model):
    names = (HOSTILE, "bird", "cat")
    about = site.Model(gate, b"", model.about | {"categories": names, "browser": False})
    with serving(about) as address:
        shows_as_text(visit(address))


def shows_as_text(page) -> None:
    """A hostile category is guessed and said as it is written, and nothing of it runs."""
    draw(page, ROOF)
    first(page, HOSTILE)
    page.get_by_role("status").filter(has_text=HOSTILE).wait_for()
    assert page.locator("main img, main script").count() == 0
    assert page.evaluate("typeof ran") == "undefined"


def test_nothing_moves_while_guesses_come(visit, address):
    page = visit(address)
    page.evaluate(
        """() => {
            window.moved = 0;
            new PerformanceObserver((list) => {
                for (const entry of list.getEntries()) window.moved += entry.value;
            }).observe({ type: "layout-shift", buffered: true });
        }"""
    )
    draw(page, ROOF, WALL)
    first(page, "bird")
    assert page.evaluate("window.moved") < 0.01


@pytest.mark.parametrize("width", [320, 390, 820, 1280])
def test_the_page_is_never_wider_than_the_screen(visit, address, width):
    page = visit(address, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_the_runtime_the_page_says_so_and_uses_the_server(visit, address):
    page = visit(address)
    page.get_by_text("what runs it in browsers is not installed there").wait_for()
    assert page.get_by_label("In browser").is_disabled()


def test_the_browsers_network_takes_no_place_when_it_comes_after_the_server_was_chosen(
    visit, gate, serving, model
):
    names = ("ant", "bird", "cat")
    about = site.Model(gate, b"", model.about | {"categories": names, "browser": True})
    with serving(about) as address:
        page = visit(address)
        page.route(
            "**/ort.wasm.min.mjs",
            lambda route: route.fulfill(body=LATE, content_type="text/javascript"),
        )
        page.reload()
        page.wait_for_selector("body[data-awaited]")
        page.locator("label", has_text="On server").click()
        page.get_by_text("Runs on the server.").wait_for()
        page.evaluate("arrive(); new Promise((go) => setTimeout(go))")
        assert page.locator("#note").inner_text() == "Runs on the server."
        with page.expect_response("**/v1/predict"):
            draw(page, ROOF)


def unplugged(page) -> list[str]:
    """The three guesses in the browser, once nothing can be fetched any more."""
    page.context.set_offline(True)
    draw(page, ROOF, WALL)
    page.wait_for_function("document.querySelectorAll('#guesses span').length === 6")
    return guesses(page)


needs_runtime = pytest.mark.skipif(
    not runtime.there(), reason=f"no browser runtime: {runtime.MISSING}"
)


@needs_runtime
def test_the_browser_and_the_server_name_the_same_three(visit, serving, model):
    with serving(model) as address:
        page = visit(address)
        page.get_by_text("Runs in this browser").wait_for()
        draw(page, ROOF, WALL)
        page.wait_for_function("document.querySelectorAll('#guesses span').length === 6")
        here = page.locator("#guesses").inner_text()
        looked = page.locator("#looked-at").inner_text()
        with page.expect_response("**/v1/predict"):
            page.locator("label", has_text="On server").click()
        page.get_by_text("Runs on the server").wait_for()
        assert page.locator("#guesses").inner_text() == here
        assert page.locator("#looked-at").inner_text() == looked


@needs_runtime
def test_it_goes_on_guessing_when_the_server_is_gone(visit, serving, model):
    with serving(model) as address:
        page = visit(address)
        page.get_by_text("Runs in this browser").wait_for()
    assert len(unplugged(page)) == 3


@needs_runtime
def test_a_folder_of_files_is_enough(visit, tmp_path):
    with hosted(bundle.read(bundle.PRETRAINED), tmp_path / "site") as address:
        page = visit(address)
        page.get_by_text("Runs in this browser").wait_for()
        assert page.get_by_label("On server").is_disabled()
    assert len(unplugged(page)) == 3
    assert json.loads((tmp_path / "site" / "model.json").read_text())["server"] is False


@needs_runtime
def test_a_site_shows_a_label_as_text(visit, tmp_path):
    trained = bundle.read(bundle.PRETRAINED)
    names = tuple(f"{HOSTILE}{i}" for i in range(len(trained.categories)))
    with hosted(dataclasses.replace(trained, categories=names), tmp_path / "site") as address:
        shows_as_text(visit(address))


@contextlib.contextmanager
def hosted(trained: bundle.Bundle, folder: Path) -> Iterator[str]:
    """The address of a static host of a model's site."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    site.write(onnx.build(trained), About.of(trained), folder)
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as host:
        thread = threading.Thread(target=host.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{host.server_port}/"
        finally:
            host.shutdown()
            thread.join()
