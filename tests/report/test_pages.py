import json
import shutil

import numpy as np
import pytest
import yaml

from dsnjax import measured
from dsnjax.config import Noise
from dsnjax.data import synthetic
from dsnjax.data.store import Store
from dsnjax.errors import UserError
from dsnjax.main import main
from dsnjax.report import explore, page, runs

CHROMIUM = shutil.which("chromium")
QUIET = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


@pytest.fixture(scope="module")
def pages(made_up, trained, tmp_path_factory):
    """Pages of a store, of a run, and of it beside its copy, unfinished and of another filter."""
    folder = tmp_path_factory.mktemp("pages")
    explore.write(Store.open(made_up), folder / "store.html", Noise())
    runs.write([trained], folder / "run.html")
    shutil.copytree(trained, folder / "again")
    (folder / "again" / measured.PREDICTIONS).unlink()
    begun = yaml.safe_load((folder / "again" / "config.yaml").read_text())
    begun["run"]["epochs"] += 1
    begun["data"]["noise"]["low"] = 0.04
    (folder / "again" / "config.yaml").write_text(yaml.safe_dump(begun))
    runs.write([trained, folder / "again"], folder / "comparison.html")
    return folder


def test_a_store_shows_every_category_and_its_numbers(pages):
    html = (pages / "store.html").read_text()
    assert all(name in html for name in synthetic.categories())
    numbers = json.loads((pages / "store.json").read_text())
    assert numbers["drawings"] == sum(row["drawings"] for row in numbers["categories"])
    assert len((pages / "store.csv").read_text().splitlines()) == 1 + len(synthetic.categories())


def test_a_run_has_the_figures_of_its_evaluation(pages, trained):
    told = json.loads((pages / "run.json").read_text())["runs"][0]
    figures = json.loads((trained / "evaluation.json").read_text())
    assert told["map3"]["value"] == pytest.approx(figures["map3"])
    assert told["accuracy"]["value"] == pytest.approx(figures["accuracy"])
    assert told["map3"]["low"] <= told["map3"]["value"] <= told["map3"]["high"]


def test_a_run_does_not_differ_from_its_copy(pages):
    (one,) = json.loads((pages / "comparison.json").read_text())["compared"]
    assert (one["map3"]["value"], one["map3"]["low"], one["mcnemar_p"]) == (0, 0, 1)


def test_a_page_says_that_a_run_is_not_finished_or_was_tested_otherwise(pages):
    html = (pages / "comparison.html").read_text()
    left = json.loads((pages / "again" / "evaluation.json").read_text())["steps_left"]
    assert f"again is not finished: {left} steps are left" in html
    assert "The runs were not tested alike" in html
    assert not any(words in (pages / "run.html").read_text() for words in ("not finished", "alike"))


def test_what_a_page_shows_lies_beside_it_in_numbers(pages):
    run = json.loads((pages / "run.json").read_text())["runs"][0]
    assert [one["share"] for one in run["unfinished"]] == [0.25, 0.5, 0.75, 1.0]
    assert sum(one["drawings"] for one in run["reliability"]) == run["drawings"]
    assert {one["name"] for one in run["parts"]} >= {"kept by the entropy filter"}
    assert all(one["label"] != one["guess"] for one in run["mistakes"])
    assert isinstance(run["groups"], list)
    row = json.loads((pages / "store.json").read_text())["categories"][0]
    assert row["dropped"] == 2
    assert row["cut_below"] < row["median_entropy"] < row["cut_above"]


def test_answers_that_were_never_kept_are_made(pages, trained):
    again, first = (
        dict(np.load(folder / measured.PREDICTIONS)) for folder in (pages / "again", trained)
    )
    assert all(np.array_equal(again[name], first[name]) for name in first)


def test_a_name_from_data_is_text_and_no_markup(tmp_path):
    medians = dict.fromkeys(("median_points", "median_strokes", "median_entropy", "recognized"))
    row = {"category": "<script>x</script>", "drawings": 1, "dropped": 0} | medians
    rest = {key: [] for key in ("countries", "charts", "noise", "styles", "sheet_items")}
    about = {"store": tmp_path / "S", "drawings": 1, "rows": [row], "rule": Noise(), "known": 0}
    about |= {"title": "<script>y</script>", "credit": False, "recognized": 0}
    about["counts"] = explore.bars([("<script>x</script>", 1)])
    page.write("store.html", tmp_path / "a.html", {}, **about, **rest)
    html = (tmp_path / "a.html").read_text()
    assert "<script" not in html
    assert "&lt;script&gt;x" in html


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "report: want either --store S or --workdir W, and one of them"),
        (["--store", "{store}", "--figure", "a.svg"], "name it with --category"),
        (["--store", "{store}", "--category", "hose"], "--category hose: not in"),
        (["--store", "{store}", "--dest", "a.pdf"], "want a file that ends in .html"),
        (["--workdir", "nowhere"], "nowhere: no run here"),
        (["--workdir", "{run}", "{run}"], "one --workdir is given twice"),
        (["--workdir", "{run}", "--noise.low", "0.1"], "what a run dropped is in its config"),
    ],
)
def test_a_mistake_is_one_line(capsys, made_up, trained, words, message):
    words = [word.format(store=made_up, run=trained) for word in words]
    assert main(["report", *words]) in (2, 4)
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_the_page_of_a_store_lies_in_it_and_leaves_files_beside_it_alone(
    made_up, tmp_path, capsys, monkeypatch
):
    shutil.copytree(made_up, tmp_path / "mine")
    (tmp_path / "mine.csv").write_text("somebody's drawings")
    monkeypatch.chdir(tmp_path / "mine")
    assert main(["report", "--store", "."]) == 0
    assert capsys.readouterr().out == "report.html\n"
    category = Store.open(made_up).categories[0]
    assert main(["report", "--store", ".", "--category", category]) == 0
    assert capsys.readouterr().out == f"report-{category}.html\n"
    assert "<title>mine: drawings" in (tmp_path / "mine" / "report.html").read_text()
    assert (tmp_path / "mine.csv").read_text() == "somebody's drawings"


def test_the_entropies_of_a_category_are_a_picture(made_up, tmp_path, capsys):
    name = synthetic.categories()[0]
    file = tmp_path / "entropy.svg"
    words = ["--store", str(made_up), "--category", name, "--figure", str(file)]
    assert main(["report", *words]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    assert f'aria-label="Entropy of {name}"' in file.read_text()


def test_a_figure_is_an_svg(made_up, tmp_path):
    with pytest.raises(UserError, match=r"want a file that ends in \.svg"):
        explore.entropy_figure(
            Store.open(made_up), synthetic.categories()[0], tmp_path / "a.png", Noise()
        )


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="no chromium on this machine")
@pytest.mark.parametrize("width", [390, 1280], ids=["phone", "desktop"])
def test_pages_open_offline_and_no_wider_than_the_screen(pages, width):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        for name in ("store", "run", "comparison"):
            tab = browser.new_page(viewport={"width": width, "height": 844})
            said, asked = [], []
            tab.on("console", lambda message, said=said: said.append(message.text))
            tab.on("request", lambda request, asked=asked: asked.append(request.url))
            tab.goto((pages / f"{name}.html").as_uri())
            wide = tab.evaluate("document.documentElement.scrollWidth")
            outside = [url for url in asked if not url.startswith(("file:", "data:"))]
            assert (name, said, outside, wide) == (name, [], [], width)
        browser.close()
