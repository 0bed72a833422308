import pytest

from dsnjax.data import categories
from dsnjax.errors import UserError


def test_presets_hold_the_papers_the_benchmarks_and_all_categories():
    assert [len(categories.read(name)) for name in ("paper40", "quickdraw40", "all345")] == [
        40,
        40,
        345,
    ]
    assert categories.read("paper40")[:2] == ("cup", "garden hose")
    assert set(categories.read("paper40")) | set(categories.read("quickdraw40")) <= set(
        categories.known()
    )


def test_file_may_hold_comments_blank_lines_and_a_byte_order_mark(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("\ufeffcat\n\n# pets\n hot dog  # not a pet\n", encoding="utf-8")
    assert categories.read(file) == categories.read(str(file)) == ("cat", "hot dog")


def test_list_keeps_its_order():
    assert categories.read("dog, cat") == categories.read(["dog", "cat"]) == ("dog", "cat")
    assert categories.read("dog") == ("dog",)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("papper40", "'papper40' is no preset, file or category; did you mean 'paper40'"),
        ("brid", "did you mean .*'bird'"),
        ("zzz", "is no preset, file or category$"),
        (",", "names none"),
        ("cat,dog,cat", "names 'cat' twice"),
        (["cat", "hot\u2028dog"], r"the list names 'hot\\u2028dog'; want no line breaks"),
        (["a\x85b"], r"names 'a\\x85b'; want no line breaks or control characters"),
    ],
)
def test_mistake_is_answered_with_what_was_meant(spec, words):
    with pytest.raises(UserError, match=words):
        categories.read(spec)
