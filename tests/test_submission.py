import json
from dataclasses import replace

import numpy as np
import pytest

from dsnjax import submission
from dsnjax.errors import DataError, UserError
from dsnjax.predict import Recognizer

CAT = [[[0, 100, 255], [0, 30, 255]], [[7, 9], [3, 200]]]


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer()


def test_a_submission_has_three_words_a_drawing_with_underscores(recognizer, tmp_path):
    test = tmp_path / "test_simplified.csv"
    cells = [f'{key},DE,"{json.dumps(CAT)}"\n' for key in (9000052667981386, 12)]
    test.write_text("key_id,countrycode,drawing\n" + "".join(cells))
    path = tmp_path / "out.csv"
    assert submission.write(recognizer, [str(test)], path, balanced=False) == 2
    head, *lines = path.read_text().splitlines()
    best = recognizer.predict([CAT])[0]
    words = " ".join(one["category"].replace(" ", "_") for one in best)
    assert head == "key_id,word"
    assert lines == [f"9000052667981386,{words}", f"12,{words}"]


def test_a_row_that_the_challenge_would_refuse_is_named(recognizer, tmp_path):
    (tmp_path / "a.ndjson").write_text(json.dumps({"drawing": CAT}))
    with pytest.raises(DataError, match="row 1 has no key_id"):
        submission.write(recognizer, [tmp_path / "a.ndjson"], tmp_path / "o.csv", balanced=False)
    (tmp_path / "b.ndjson").write_text("{")
    with pytest.raises(DataError, match=r"b\.ndjson:1: truncated"):
        submission.write(recognizer, [tmp_path / "b.ndjson"], tmp_path / "o.csv", balanced=False)
    assert not (tmp_path / "o.csv").exists()


def test_a_folder_in_its_place_is_named_before_anything_is_read(recognizer, tmp_path):
    with pytest.raises(UserError, match=f"^{tmp_path}: a folder; name a file"):
        submission.write(recognizer, ["nowhere.csv"], tmp_path, balanced=False)


def test_the_drawings_themselves_are_not_written_over(recognizer, tmp_path):
    (tmp_path / "a.csv").write_text("kept")
    (tmp_path / "link.csv").symlink_to(tmp_path / "a.csv")
    with pytest.raises(UserError, match=r"link\.csv: holds the drawings themselves; name another"):
        submission.write(
            recognizer, [str(tmp_path / "a.csv")], tmp_path / "link.csv", balanced=False
        )
    assert (tmp_path / "a.csv").read_text() == "kept"


def test_a_loop_of_links_is_replaced_as_any_link_that_leads_nowhere(recognizer, tmp_path):
    (tmp_path / "a.csv").symlink_to(tmp_path / "b.csv")
    (tmp_path / "b.csv").symlink_to(tmp_path / "a.csv")
    (tmp_path / "test.csv").write_text('key_id,drawing\n9,"[[[0, 9], [0, 9]]]"\n')
    sources = [str(tmp_path / "test.csv")]
    assert submission.write(recognizer, sources, tmp_path / "a.csv", balanced=False) == 1
    assert (tmp_path / "a.csv").read_text().startswith("key_id,word\n9,")


def test_a_network_that_is_shown_times_is_told_them(recognizer, tmp_path, monkeypatch):
    data = recognizer.bundle.recipe.data.model_copy(update={"levels": ("order", "time")})
    recipe = recognizer.bundle.recipe.model_copy(update={"data": data})
    timed = Recognizer()
    timed.bundle = replace(timed.bundle, recipe=recipe)
    seen = []
    monkeypatch.setattr(
        timed, "probabilities", lambda packed: seen.append(packed) or np.eye(40)[: len(packed)]
    )
    raw = {"key_id": "1", "drawing": [[[0, 100], [0, 255], [0, 70]]]}
    (tmp_path / "raw.ndjson").write_text(json.dumps(raw))
    submission.write(timed, [tmp_path / "raw.ndjson"], tmp_path / "o.csv", balanced=False)
    assert seen[0].times.tolist() == [0, 70]


def test_balancing_gives_each_category_as_many():
    rng = np.random.default_rng(0)
    logits = rng.normal([2, 0, 0], 1, (600, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = submission.balance(probabilities)
    np.testing.assert_allclose(found.sum(axis=0), [200, 200, 200], rtol=1e-3)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.bincount(probabilities.argmax(axis=1))[0] > 400
    assert abs(np.bincount(found.argmax(axis=1))[0] - 200) < 40
