"""The schema of a run: every setting, with its bounds and the words that explain it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Widths = Annotated[tuple[Count, ...], Field(min_length=1)]
BATCH_NORM_EPSILON = 1e-5  # what is added to a variance, in training and in exports


class Section(BaseModel):
    """A part of the config: frozen, no unknown names, no NaN, field docstrings are the help."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class Noise(Section):
    """Section 3.4 of the paper: drawings of unusual entropy are unfinished or scribbled over."""

    filter: Literal["none", "train", "all"] = "train"
    """Which splits lose their noise: none, train (tests stay honest) or all (the paper's way)."""
    low: Share = 0.05
    """Drawings whose entropy is at this percentile of their category or below are dropped; 0.05 is
    the 5th."""
    high: Share = 0.95
    """... and those at this one or above."""
    recognized: bool = False
    """With a filter: drop as well what the game that collected the drawings did not recognize."""

    @model_validator(mode="after")
    def ordered(self) -> "Noise":
        if self.low >= self.high:
            raise ValueError(f"want low < high, got {self.low} and {self.high}")
        return self

    @model_validator(mode="after")
    def drops(self) -> "Noise":
        if self.recognized and self.filter == "none":
            raise ValueError("recognized drops nothing with filter=none; want filter=train or all")
        return self


class Augment(Section):
    """Changes of the points while training, before anything is drawn (section 3.4)."""

    flip: bool = True
    """Mirror about every other drawing."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Largest turn, in degrees, either way."""
    stretch: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Largest growth along x and along y, as a share; as much shrinking."""
    scale: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    """Largest shrinking of the whole drawing, as a share."""
    shift: Share = 0.0
    """How far a drawing may move, as a share of the room between it and the border."""
    drop_strokes: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    """Largest share of the strokes to leave out, the last ones; one always stays."""
    drop_points: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    """Share of the points to leave out; both ends of a stroke stay."""


class Split(Section):
    """Which drawings are kept from training: shares, so many of each category, or a list."""

    valid: Share = 0.05
    """Share of the drawings that chooses the best checkpoint."""
    test: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the drawings that is looked at once, at the end."""
    fixed: Annotated[int, Field(ge=0)] = 0
    """Instead: drawings of each category for valid, and as many for test; the paper has 512."""
    file: Path | None = None
    """Instead: the manifest that `dsnjax prepare --write-split` wrote."""

    @model_validator(mode="after")
    def one_rule(self) -> "Split":
        if self.fixed and self.file:
            raise ValueError(f"fixed={self.fixed} and file={self.file} are both given; want one")
        return self

    @model_validator(mode="after")
    def leaves_some(self) -> "Split":
        if self.valid + self.test >= 1:
            raise ValueError(
                f"valid={self.valid} and test={self.test} leave nothing to train on; "
                "want a sum below 1"
            )
        return self


class Data(Section):
    """Drawings and how they are shown to the network."""

    store: Path | None = None
    """Folder made by `dsnjax prepare`; none: made-up drawings, written into the work directory."""
    made_up: Count = 700
    """Made-up drawings in each category, where there is no store."""
    batch_size: Annotated[int, Field(ge=1, le=2**20)] = 256
    """Drawings in a step, over all devices."""
    image_size: Annotated[int, Field(ge=16, le=512)] = 96
    """Height and width of the image in pixels."""
    thickness: Annotated[float, Field(ge=0.5, le=32)] = 2.0
    """Thickness of a stroke in pixels of the image."""
    length: Annotated[int, Field(ge=8, le=4096)] = 128
    """Points the RNN is shown; what a drawing has beyond them only its image shows."""
    levels: Annotated[tuple[Literal["order", "time", "speed"], ...], Field(min_length=1)] = (
        "order",
    )
    """What the grey of each of the image's channels tells: order of the strokes, time or speed; the
    latter two of drawings whose times were kept (dsnjax prepare --times)."""
    balance: bool = False
    """Train on every category equally often, however many drawings it has."""
    threads: Annotated[int, Field(ge=0, le=64)] = 1
    """Threads that draw ahead of the step; 0 draws between the steps."""
    augment: Augment = Augment()
    noise: Noise = Noise()
    split: Split = Split()

    @model_validator(mode="after")
    def leaves_paper(self) -> "Data":
        if self.thickness >= self.image_size - 2:
            raise ValueError(
                f"thickness={self.thickness:g} fills image_size={self.image_size}; "
                "want less than image_size - 2"
            )
        return self

    @property
    def timed(self) -> bool:
        """Whether the image tells when strokes were drawn."""
        return set(self.levels) != {"order"}

    def protocol(self) -> str:
        """What figures of this data stand for: which drawings were dropped, before which split."""
        noise, split = self.noise, self.split
        dropped = f"entropy outside percentiles {noise.low:g} to {noise.high:g}"
        dropped += ", not recognized" * noise.recognized
        filtered = {
            "none": "honest: no drawing filtered",
            "train": f"honest: tested on all drawings, trained without noise ({dropped})",
            "all": f"paper: noise dropped before the split, from test too ({dropped})",
        }[noise.filter]
        rule = f"split by share, valid {split.valid:g}, test {split.test:g}"
        if split.fixed:
            rule = f"split by number, {split.fixed} valid and {split.fixed} test of each category"
        elif split.file:
            rule = f"split as {split.file.name} says"
        return f"{filtered}; {rule}"


class CNN(Section):
    """Branch over the image: the paper's plain baseline, or a residual network."""

    block: Literal["plain", "light", "basic", "bottleneck"] = "light"
    """What stages are made of: plain convolutions (the baseline), or residual blocks: light, basic
    (ResNet-18, 34) or bottleneck (ResNet-50, 101)."""
    stem: Annotated[int, Field(ge=0, le=8)] = 2
    """Side of the square of pixels that the first convolution reads as one; 0: ResNet's own,
    7x7 pixels with max pooling behind it."""
    widths: Widths = (32, 64, 128, 256)
    """Features of each stage (a bottleneck gives four times as many); every stage after the first
    halves height and width, a plain one twice."""
    blocks: Widths = (1, 1, 1, 1)
    """Residual blocks, or plain convolutions, in each stage."""
    squeeze: Annotated[int, Field(ge=0)] = 0
    """Squeeze and excitation: how many times narrower its middle is (16); 0 leaves it out."""
    groups: Count = 1
    """Groups of a bottleneck's convolution (ResNeXt: 32)."""
    middle: Count = 1
    """How many times its stage's width a bottleneck's convolution has (ResNeXt 32x4d: 2)."""
    dense: Annotated[int, Field(ge=0)] = 0
    """Features of a layer over the whole grid, behind plain convolutions; 0 leaves it out."""

    @model_validator(mode="after")
    def paired(self) -> "CNN":
        if len(self.widths) != len(self.blocks):
            raise ValueError(
                f"widths={self.widths} and blocks={self.blocks} name "
                f"{len(self.widths)} and {len(self.blocks)} stages; want one of each a stage"
            )
        return self

    @model_validator(mode="after")
    def whole(self) -> "CNN":
        narrow = min(self.widths)
        if self.block == "bottleneck":
            if (middle := narrow * self.middle) % self.groups:
                raise ValueError(
                    f"groups={self.groups} do not divide the {middle} features of a block's "
                    "middle (width * middle)"
                )
        elif self.groups > 1 or self.middle > 1:
            raise ValueError(f"groups and middle shape a bottleneck; block={self.block} has none")
        if self.block == "plain":
            if not self.stem or self.squeeze:
                raise ValueError("block=plain has no squeeze, and its stem is squares; want stem=1")
        elif self.dense:
            raise ValueError(f"dense goes with block=plain; got block={self.block}")
        if self.squeeze > narrow:
            raise ValueError(f"squeeze={self.squeeze} leaves nothing of {narrow} features")
        return self


class RNN(Section):
    """Branch over the points: 1-D convolutions, then recurrent layers (section 5.2)."""

    widths: Widths = (48, 64, 96)
    """Features of each 1-D convolution."""
    kernels: Widths = (5, 5, 3)
    """Points each convolution sees."""
    strides: Widths = (1, 1, 1)
    """Points each convolution moves on; above 1 the recurrent layers have fewer steps to take."""
    activation: Literal["relu", "none"] = "relu"
    """What follows a convolution; the authors' code has none."""
    cell: Literal["lstm", "gru"] = "lstm"
    """Kind of the recurrent cells."""
    layers: Count = 1
    """Recurrent layers, each reading the one below."""
    hidden: Count = 256
    """Hidden state of a layer, in each direction."""
    bidirectional: bool = True
    """Read the points from the end as well."""
    pool: Literal["mean", "last", "sum", "attention"] = "mean"
    """How the branch's steps become one vector, where it names drawings by itself."""

    @model_validator(mode="after")
    def paired(self) -> "RNN":
        if not len(self.widths) == len(self.kernels) == len(self.strides):
            raise ValueError(
                f"widths={self.widths}, kernels={self.kernels} and strides={self.strides} "
                "differ in length; want one of each a convolution"
            )
        return self


class Model(Section):
    """Deep Sketch Network of both branches, or one branch alone."""

    branches: Literal["both", "cnn", "rnn"] = "both"
    """Which branches there are; one alone names drawings by itself."""
    fusion: Literal["tokens", "logits"] = "tokens"
    """Where two branches meet: tokens, one attention over both branches' tokens, then FC (the
    paper's text); logits, FC in each branch, then attention over the two (its figure and code)."""
    cnn: CNN = CNN()
    rnn: RNN = RNN()
    width: Count = 256
    """Features of a token when the branches' tokens meet."""
    heads: Count = 4
    """Attention heads over tokens; each sums all tokens by its own weights."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of features dropped in the RNN and before the head, while training."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What the network computes in; parameters, statistics and losses are float32 always."""
    remat: bool = False
    """Keep only what enters a residual block, and make the rest again for its gradient: about a
    quarter of the memory for one more pass forward."""

    @property
    def weighs_tokens(self) -> bool:
        """Whether one attention weighs the tokens of both branches."""
        return self.branches == "both" and self.fusion == "tokens"

    @model_validator(mode="after")
    def whole(self) -> "Model":
        if self.weighs_tokens:
            if self.width % self.heads:
                raise ValueError(f"width={self.width} is no multiple of heads={self.heads}")
            if self.rnn.pool != "mean":
                raise ValueError(
                    f"rnn.pool={self.rnn.pool}: with fusion=tokens the attention pools both "
                    "branches; want mean, or fusion=logits"
                )
        if self.remat and (self.branches == "rnn" or self.cnn.block == "plain"):
            raise ValueError(
                "remat goes with residual blocks; "
                f"got branches={self.branches}, cnn.block={self.cnn.block}"
            )
        return self


class Loss(Section):
    """Cross entropy + alpha * center loss + auxiliary * cross entropy of each branch alone."""

    alpha: Annotated[float, Field(ge=0)] = 0.01
    """Weight of the center loss (section 4.3); 0 trains without it: DSN, above 0: DSN+."""
    centers: Literal["running", "fixed"] = "running"
    """running: means that every batch moves; fixed: one pass over the training split by the network
    that the run starts from (section 4.2)."""
    center_warmup: Share = 0.0
    """Share of the steps in which alpha climbs from nothing to its weight."""
    center_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """How much of a running center stays when a batch moves it."""
    auxiliary: Annotated[float, Field(ge=0)] = 0.3
    """Weight of the branches' own losses; without them one branch can starve the other."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the label spread over all categories."""


class Optim(Section):
    """From gradients to updates: clipped, by a rate that follows a schedule."""

    kind: Literal["adamw", "adam", "sgd", "lamb"] = "adamw"
    """The optimizer; lamb is made for batches of thousands."""
    learning_rate: Positive = 1e-3
    """Peak of the schedule."""
    schedule: Literal["cosine", "constant", "halving", "step"] = "cosine"
    """After the warm-up: a cosine down to zero, no change, half at the end of each epoch (the
    authors' way), or a drop at each of `drops`."""
    warmup: Share = 0.05
    """Share of the steps in which the rate climbs to its peak."""
    drops: tuple[Share, ...] = (0.5, 0.75)
    """Shares of the steps after which the schedule `step` multiplies the rate by `drop`."""
    drop: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """What a drop leaves of the rate."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """How much of the earlier gradients stays: sgd's momentum, the others' first beta."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Decay of kernels, not of biases and norms: adamw and lamb take it off the weights, adam and
    sgd add it to the gradient."""
    clip: Positive = 1.0
    """Largest norm of the gradient."""
    accumulate: Count = 1
    """Parts that a batch is computed in, one after the other, to fit the memory; their gradients
    are summed, so the step is that of the whole batch."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """How much of a running average of the weights stays at each step, less in the first steps;
    above 0 the average is what is evaluated, bundled and used. 0.998 is about 500 steps long."""


class Mesh(Section):
    """How a run lies on its devices. It changes no figure: a run may go on under another one."""

    fsdp: Count = 1
    """Devices that share one copy of the large weights and their optimizer state; the batch is
    spread over all devices, whatever it is. Above 1, weights too large for one device fit."""


class Init(Section):
    """The weights that a run starts from; fresh ones where nothing is named.

    Each of `model`, `cnn` and `rnn` is a work directory, a folder made by `dsnjax bundle`, or
    `pretrained`: the model that ships with dsnjax.
    """

    model: str | None = None
    """Start from this model (--init-from for short); categories it does not know get a new part of
    the head. Its network and its view of drawings hold, where --config names no others."""
    cnn: str | None = None
    """Start the CNN from this model's, trained alone or not (the authors' staged way)."""
    rnn: str | None = None
    """... and the RNN from this one's."""
    freeze: tuple[Literal["cnn", "rnn", "cnn_head", "rnn_head"], ...] = ()
    """Parts that stay as they start, their batch statistics too; all four with fusion=logits are
    the authors' way, which trains the attention alone."""

    @model_validator(mode="after")
    def one_start(self) -> "Init":
        if self.model and (self.cnn or self.rnn):
            raise ValueError("model and a branch are both given; want one")
        return self


class Run(Section):
    """How long to train and what to keep."""

    epochs: Annotated[int, Field(ge=1, le=10**6)] = 10
    """Times every training drawing is seen."""
    checkpoint_every: Count = 500
    """Steps between checkpoints; the end of an epoch saves as well."""
    log_every: Count = 20
    """Steps between lines of metrics.jsonl."""
    track: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Where those lines are written besides: tensorboard, wandb (both extras, see docs/training.md;
    with WANDB_MODE=offline nothing leaves the machine)."""
    profile: tuple[Count, ...] = ()
    """First and last step that jax's profiler looks at, such as 20 25; its trace is written to
    profile/ in the work directory."""

    @model_validator(mode="after")
    def window(self) -> "Run":
        if self.profile and (len(self.profile) != 2 or self.profile[0] > self.profile[1]):
            raise ValueError(f"profile={self.profile}: want a first and a last step")
        return self


class Config(Section):
    """Train and evaluate a Deep Sketch Network."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Root of all randomness: weights, order, flips, dropout."""
    data: Data = Data()
    model: Model = Model()
    loss: Loss = Loss()
    optim: Optim = Optim()
    init: Init = Init()
    run: Run = Run()
    mesh: Mesh = Mesh()

    @model_validator(mode="after")
    def even(self) -> "Config":
        side, square = self.data.image_size, self.model.cnn.stem
        if square and side % square:
            raise ValueError(
                f"data.image_size={side} does not divide into squares of model.cnn.stem={square}"
            )
        return self

    @model_validator(mode="after")
    def parts(self) -> "Config":
        if self.data.batch_size % self.optim.accumulate:
            raise ValueError(
                f"data.batch_size={self.data.batch_size} has no {self.optim.accumulate} equal "
                "parts; want a multiple of optim.accumulate"
            )
        return self

    @model_validator(mode="after")
    def begun(self) -> "Config":
        start = self.init
        branches = ("cnn", "rnn") if self.model.branches == "both" else (self.model.branches,)
        parts = [*start.freeze, *(name for name in ("cnn", "rnn") if getattr(start, name))]
        if absent := [part for part in parts if part.partition("_")[0] not in branches]:
            raise ValueError(f"init: model.branches={self.model.branches} has no {absent[0]}")
        if len(branches) == 1 and f"{branches[0]}_head" in start.freeze:
            raise ValueError("init.freeze: nothing is left to train; leave out the head")
        fresh = [name for name in branches if not (start.model or getattr(start, name))]
        heads = [part for part in start.freeze if part.endswith("_head")]
        if heads and self.model.weighs_tokens and not start.model:
            raise ValueError(
                f"init.freeze={heads[0]}: with fusion=tokens it starts anew, for other features "
                "than before; leave it out, or name a start by init.model"
            )
        if bare := [part for part in start.freeze if part.partition("_")[0] in fresh]:
            raise ValueError(
                f"init.freeze={bare[0]}: nothing trained is there to keep; name a start by "
                f"init.model or init.{bare[0].partition('_')[0]}"
            )
        drawn = fresh or (self.model.weighs_tokens and not start.model)
        if self.loss.centers == "fixed" and self.loss.alpha and drawn:
            raise ValueError(
                "loss.centers=fixed: an untrained network has no centers worth keeping; name a "
                "start by init.model, or, with another fusion than tokens, by init.cnn and init.rnn"
            )
        return self
