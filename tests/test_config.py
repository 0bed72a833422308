import pytest
import tyro

from dsnjax import config, flags, settings
from dsnjax.config import Config, Section
from dsnjax.errors import UserError


def refused(argv=(), values=None) -> str:
    with pytest.raises(UserError) as caught:
        flags.parse(Config, list(argv), values)
    return str(caught.value)


def test_flags_win_over_values():
    found = flags.parse(Config, ["--seed", "7"], {"seed": 3, "optim": {"warmup": 0.5}})
    assert (found.seed, found.optim.warmup) == (7, 0.5)


@pytest.mark.parametrize("argv", [["--data.augment.no-flip"], ["--data.augment.flip=false"]])
def test_a_boolean_is_turned_off(argv):
    assert not flags.parse(Config, argv, {"data": {"augment": {"flip": True}}}).data.augment.flip


def test_a_list_takes_words_up_to_the_next_flag():
    argv = ["--model.cnn.widths", "8", "16", "--model.cnn.blocks=[1,2]"]
    assert "blocks" in refused(argv)  # a list is given as words
    argv = ["--model.cnn.widths", "8", "16", "--model.cnn.blocks", "1", "2", "--seed", "1"]
    assert flags.parse(Config, argv).model.cnn.widths == (8, 16)


def test_a_list_may_follow_an_equals_sign():
    assert flags.parse(Config, ["--data.levels=time"], {}).data.levels == ("time",)


def test_a_list_that_is_given_again_goes_on():
    argv = ["--run.track", "wandb", "--seed", "1", "--seed", "2", "--run.track=tensorboard"]
    found = flags.parse(Config, argv)
    assert (found.run.track, found.seed) == (("wandb", "tensorboard"), 2)


def test_none_takes_a_value_back():
    assert (
        flags.parse(Config, ["--data.store", "none"], {"data": {"store": "S"}}).data.store is None
    )


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--optim.learnin-rate", "1"], "no such option; nearest is --optim.learning-rate"),
        (["--data.store", ""], "--data.store: wants a value"),
        (["--data.store="], "--data.store: wants a value"),
        (["--run.epochs", "99999999999"], "run.epochs: got '99999999999'; input should be less"),
        (["--flip", "no"], "--flip: no such option; nearest is --data.augment.flip"),
        (["--optim.learning-rate", "-1"], "optim.learning_rate: got '-1'; input should be greater"),
        (
            ["--optim.learning-rate", "nan"],
            "optim.learning_rate: got 'nan'; input should be a fini",
        ),
        (
            ["--optim.learning-rate", "fast"],
            "optim.learning_rate: got 'fast'; input should be a va",
        ),
        (
            ["--data.image-size", "16", "--data.thickness", "20"],
            "data: thickness=20 fills image_size=16; want less than image_size - 2",
        ),
        (
            ["--data.split.fixed", "512", "--data.split.file", "f"],
            "data.split: fixed=512 and file=f are both given; want one",
        ),
        (["--data.levels", "order", "grey"], "data.levels.1: got 'grey'; input should be 'order'"),
        (
            ["--data.batch-size", "2.5"],
            "data.batch_size: got '2.5'; input should be a valid integer",
        ),
        (
            ["--data.noise.filter", "tain"],
            "data.noise.filter: got 'tain'; input should be 'none', ",
        ),
        (["--data.noise.low", "0.99"], "data.noise: want low < high, got 0.99 and 0.95"),
        (
            ["--data.noise.filter", "none", "--data.noise.recognized"],
            "data.noise: recognized drops nothing with filter=none; want filter=train or all",
        ),
        (
            ["--model.cnn.widths", "8"],
            "model.cnn: widths=(8,) and blocks=(1, 1, 1, 1) name 1 and 4",
        ),
        (["--model.cnn.groups", "2"], "model.cnn: groups and middle shape a bottleneck; block=li"),
        (
            ["--model.cnn.block", "bottleneck", "--model.cnn.groups", "3"],
            "model.cnn: groups=3 do not divide the 32 features",
        ),
        (["--model.cnn.dense", "9"], "model.cnn: dense goes with block=plain; got block=light"),
        (["--model.cnn.block", "plain", "--model.cnn.squeeze", "4"], "block=plain has no squeeze"),
        (["--model.cnn.squeeze", "64"], "model.cnn: squeeze=64 leaves nothing of 32 features"),
        (["--model.heads", "3"], "model: width=256 is no multiple of heads=3"),
        (["--model.rnn.pool", "sum"], "model: rnn.pool=sum: with fusion=tokens the attention"),
        (["--model.remat", "--model.branches", "rnn"], "model: remat goes with residual blocks; g"),
        (
            ["--model.remat", "--model.cnn.block", "plain"],
            "model: remat goes with residual blocks; got branches=both, cnn.block=plain",
        ),
        (["--model.cnn.stem", "7"], "data.image_size=96 does not divide into squares of model."),
        (["--data.split.test", "0.99"], "data.split: valid=0.05 and test=0.99 leave nothing"),
        (["--seed"], "--seed: wants a value"),
        (["cat"], "cat: not expected here; options begin with --"),
    ],
)
def test_a_mistake_is_named_with_the_way_out(argv, message):
    assert message in refused(argv)
    assert "\n" not in refused(argv)


def test_a_typo_in_a_file_is_answered_with_the_nearest_name():
    message = refused(values={"optim": {"learning_rat": 1}})
    assert message == "optim.learning_rat: no such setting; nearest is optim.learning_rate"


@pytest.mark.parametrize(
    ("name", "end"),
    [("epochs", "nearest is run.epochs"), ("zzz", "known are data, data.augment, ")],
)
def test_a_value_beside_its_section_is_answered_with_its_place(name, end):
    assert refused(values={name: 3}).startswith(f"{name}: no such setting; {end}")


def test_values_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Config().seed = 1  # type: ignore[misc]


def test_words_without_a_flag_fill_the_positional_field():
    class Look(Section):
        files: tyro.conf.Positional[tuple[str, ...]] = ()
        top: int = 3

    found = flags.parse(Look, ["a", "--top", "2", "b"])
    assert found == Look(files=("a", "b"), top=2)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "honest: tested on all drawings, trained without noise (entropy outside percentiles "),
        ({}, "; split by share, valid 0.05, test 0.1"),
        ({"noise": {"filter": "none"}}, "honest: no drawing filtered"),
        ({"noise": {"filter": "all"}}, "paper: noise dropped before the split, from test too"),
        ({"noise": {"recognized": True}}, "percentiles 0.05 to 0.95, not recognized)"),
        ({"split": {"fixed": 512}}, "split by number, 512 valid and 512 test of each category"),
        ({"split": {"file": "far/away.split"}}, "split as away.split says"),
    ],
)
def test_protocol_says_what_was_filtered_and_how_it_was_split(values, words):
    assert words in settings.check(config.Data, values).protocol()
