"""The commands of dsnjax: what each can be told, and what it then does and prints.

jax is loaded by the commands that compute, when they run.
"""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from pydantic import Field

from dsnjax import config, presets, settings
from dsnjax.config import Count, Section, Share
from dsnjax.errors import DataError, UserError, extra

if TYPE_CHECKING:
    from dsnjax.data.store import Store

Files = tyro.conf.Positional[tuple[str, ...]]


class Train(config.Config):
    """Train a network and evaluate it; started again, go on from the last checkpoint.

    Example: dsnjax train --config dsn_plus --data.store S --workdir runs/a
    """

    config: str | None = None
    """A preset (cnn, dsn, dsn_best, dsn_plus, dsn_small, finetune, quickstart, resnet50, rnn,
    tf_rnn) or a YAML file; options given beside it win."""
    workdir: Path | None = None
    """Folder of the run; by default runs/ and the name of the config."""
    engine: Literal["local", "ray"] = "local"
    """Who trains: this process with those a launcher started, or workers of a Ray cluster."""
    workers: Count = 1
    """How many of them Ray starts: one for each machine with GPUs."""

    def execute(self) -> None:
        from dsnjax import processes
        from dsnjax.train import train
        from dsnjax.workdir import Workdir

        workdir = Workdir(run_folder(self.workdir, self.config))
        values = self.model_dump(include=set(config.Config.model_fields))
        run = settings.check(config.Config, values)
        if self.workers > 1 and self.engine != "ray":
            raise UserError("train: --workers goes with --engine ray")
        if self.engine == "ray":
            from dsnjax import ray_train

            print(headline(ray_train.train(run, workdir, self.workers), workdir.path))
            return
        with processes.joined():
            figures = train(run, workdir)
            if processes.first():
                print(headline(figures, workdir.path), flush=True)


class Download(Section):
    """Fetch official files of Quick, Draw!; interrupted, go on where it stopped.

    Example: dsnjax download --dest D --categories cat,dog
    """

    dest: Path
    """Folder to fetch into; the files go below it as they lie in the bucket."""
    categories: str
    """A preset (quickdraw40, paper40, all345), a file of names, or names with commas."""
    kind: Literal["simplified", "raw", "binary"] = "simplified"
    """Form of the drawings; raw has the times."""
    base_url: str = "https://storage.googleapis.com/quickdraw_dataset"
    """The official bucket, or a mirror laid out alike; file:// works too."""
    jobs: Count = 4
    """Files to fetch at a time."""

    def execute(self) -> None:
        from dsnjax.data import download

        files = download.download(**self.model_dump())
        print(f"{self.dest}: {len(files)} files of {self.kind} drawings, as the server has them")


class Prepare(Section):
    """Read drawings into a store that training reads fast; interrupted, go on where it stopped.

    Example: dsnjax prepare drawings/ --store S --categories cat,dog
    """

    sources: Files = ()
    """Files (simplified or raw ndjson, .csv, .bin, .gz of them), folders, or a bucket's folder."""
    store: Path
    """Folder to write; with --verify, --export or --write-split, to read."""
    categories: str | None = None
    """A preset (quickdraw40, paper40, all345), a file of names, or names with commas; none: the
    names of the files."""
    jobs: Count = os.cpu_count() or 1
    """Processes that read."""
    max_reject_share: Share = 0.01
    """More bad rows than this share end in exit code 3."""
    times: bool = False
    """Keep when each point was drawn; raw drawings have that, rows without it are bad then."""
    engine: Literal["local", "ray"] = "local"
    """Who reads: processes of this machine, or a Ray cluster (pip install 'dsnjax[ray]')."""
    verify: bool = False
    """Instead: compare every byte of the store with its checksums."""
    export: Path | None = None
    """Instead: write the store's drawings to this Parquet file."""
    write_split: Path | None = None
    """Instead: write which drawings are valid and test to this file, for --data.split.file."""
    noise: config.Noise = config.Noise()
    split: config.Split = config.Split()

    def execute(self) -> None:
        from rich.console import Console

        from dsnjax.data import prepare
        from dsnjax.data.store import Store

        instead = {"verify", "export", "write_split"} & self.model_fields_set
        if len(instead) + bool(self.sources) > 1:
            raise UserError(
                f"prepare: {settings.option(min(instead))} reads a store, and does nothing else"
            )
        if self.verify:
            store = Store.open(self.store)
            store.verify()
            print(f"{self.store}: {len(store):,} drawings, every byte as it was written")
        elif self.export:
            from dsnjax.data import parquet

            parquet.write(Store.open(self.store), self.export)
            print(self.export)
        elif self.write_split:
            self._write_split(Store.open(self.store), self.write_split)
        elif not self.sources:
            raise UserError("prepare: no SOURCE; name files or folders of drawings")
        else:
            summary = prepare.prepare(
                self.sources,
                self.store,
                self.categories,
                jobs=self.jobs,
                max_reject_share=self.max_reject_share,
                times=self.times,
                engine=self.engine,
            )
            Console().print(summary.table(self.noise, self.split))

    def _write_split(self, store: "Store", path: Path) -> None:
        from dsnjax.data import split

        member = split.members(store, self.noise, self.split)
        split.write(path, member, store.key_id, store.hash)
        valid, test = ((member == code).sum() for code in (split.VALID, split.TEST))
        print(f"{path}: {valid:,} valid and {test:,} test drawings; train with --data.split.file")


class Evaluate(Section):
    """Measure the best checkpoint of a run, by default on drawings it was not trained on.

    Example: dsnjax evaluate --workdir runs/a
    """

    workdir: Path
    """Folder of the run."""
    split: Literal["train", "valid", "test"] = "test"
    """Which of the run's drawings; of test the figures are kept in evaluation.json."""
    tta: bool = False
    """Test-time augmentation: by what the network says of each drawing mirrored and turned as well.
    The figures are not kept."""

    def execute(self) -> None:
        from dsnjax import processes, stop
        from dsnjax.evaluate import evaluate
        from dsnjax.workdir import Workdir

        with processes.joined(), stop.watched() as asked:
            figures = evaluate(Workdir(self.workdir), split=self.split, tta=self.tta, stop=asked)
            if processes.first():
                print(headline(figures, self.workdir), flush=True)


class Bundle(Section):
    """Make a model to use out of a run: weights, categories and a card, without the drawings.

    Example: dsnjax bundle --workdir runs/a --dest models/a
    """

    workdir: Path
    """Folder of the run."""
    dest: Path
    """Folder to write."""

    def execute(self) -> None:
        from dsnjax import bundle
        from dsnjax.workdir import Workdir

        workdir = Workdir(self.workdir)
        model = bundle.from_workdir(workdir)
        bundle.write(model, self.dest, bundle.card(workdir, model))
        size = sum(file.stat().st_size for file in self.dest.iterdir())
        print(f"{self.dest}: {len(model.categories)} categories, {size / 2**20:.2f} MiB")


class Predict(Section):
    """Name drawings: one answer for every row, in order.

    Example: dsnjax predict --workdir runs/a drawings.ndjson
    """

    files: Files = ("-",)
    """Files of drawings: ndjson (simplified or raw), .csv, .bin, .svg, .gz of them; - or nothing
    reads ndjson from standard input."""
    workdir: Path | None = None
    """Folder of a run."""
    model: Path | None = None
    """Folder made by dsnjax bundle; without either, the model that ships with dsnjax."""
    top: Count = 3
    """How many names for each drawing."""
    min_probability: Share = 0.0
    """Where the likeliest name is less probable than this, say "unknown" before it."""
    fit: bool = False
    """Scale and simplify every drawing, as training drawings were: for coordinates of any kind."""
    each_stroke: bool = False
    """Also say what is named after each stroke."""
    tta: bool = False
    """Test-time augmentation: name by what the network says of the drawing mirrored and turned as
    well, as far as it was trained on such; up to six times the time."""
    submission: Path | None = None
    """Instead: write Kaggle's file, key_id and three words, here."""
    balanced: bool = False
    """With --submission: assign categories equally often. Transductive: a drawing's words depend on
    all the others, and figures compare with no other protocol."""

    def execute(self) -> None:
        folder = one_model("predict", self.workdir, self.model)
        if self.balanced and not self.submission:
            raise UserError("predict: --balanced goes with --submission")
        own = {"top", "min_probability", "fit", "each_stroke"} & self.model_fields_set
        if own and self.submission:
            raise UserError(f"predict: {settings.option(min(own))} does not go with --submission")
        from dsnjax import predict

        recognizer = predict.Recognizer(folder, tta=self.tta)
        if self.submission:
            from dsnjax import submission

            count = submission.write(
                recognizer, self.files, self.submission, balanced=self.balanced
            )
            how = ", balanced over all of them (transductive)" if self.balanced else ""
            print(f"{self.submission}: {count:,} drawings{how}")
            return
        wanted = predict.Wanted(self.top, self.min_probability, self.fit, self.each_stroke)
        bad = total = 0
        for total, answer in enumerate(predict.rows(recognizer, self.files, wanted), 1):  # noqa: B007
            bad += "error" in answer
            print(table_row(answer) if sys.stdout.isatty() else json.dumps(answer))
        say_unread(bad, total)
        if bad and bad == total:
            raise DataError("predict: no row could be read; want drawings, or --fit for own ones")


class Draw(Section):
    """Draw pictures of drawings: as a network is shown them, or as SVG.

    Example: dsnjax draw drawings.ndjson --to svg --dest pictures
    """

    files: Files = ("-",)
    """Files of drawings, as for predict."""
    to: Literal["png", "svg"] = "png"
    """png: grey tells the order of strokes, as networks are shown it; svg: black lines."""
    dest: Path
    """Folder for a picture of each drawing; or a name that ends in .png, for one sheet of all."""
    size: Annotated[int, Field(ge=16, le=1024)] = 256
    """Height and width of a picture in pixels."""
    fit: bool = False
    """Scale and simplify every drawing first: for coordinates of any kind."""

    def execute(self) -> None:
        from dsnjax.draw import draw

        count, bad = draw(self.files, self.dest, self.to, self.size, fit=self.fit)
        print(f"{self.dest}: {count:,} drawings")
        say_unread(bad, count + bad)


class Export(Section):
    """Write a model for other programs, after comparing what it says with the network.

    Example: dsnjax export --workdir runs/a --to onnx --dest exported
    """

    workdir: Path | None = None
    """Folder of a run."""
    model: Path | None = None
    """Folder made by dsnjax bundle; without either, the model that ships with dsnjax."""
    to: Literal["onnx", "stablehlo", "site"] = "onnx"
    """onnx: for onnxruntime and many others; stablehlo: for jax without dsnjax; site: the page that
    draws and names in a browser, for any static host."""
    dest: Path
    """Folder to write model.onnx or model.stablehlo, and model.json, into; or the page."""
    precision: Literal["float32", "float16", "int8"] = "float32"
    """How weights of an ONNX model are stored; it computes in float32 always."""

    def execute(self) -> None:
        from dsnjax.export.run import export

        folder = one_model("export", self.workdir, self.model) or presets.PRETRAINED
        path, parity = export(folder, self.to, self.dest, self.precision)
        files = path.rglob("*") if path.is_dir() else [path]
        size = sum(file.stat().st_size for file in files)
        print(f"{path}: {size / 2**20:.2f} MiB")
        print(parity)
        if self.to == "site":
            print(f"To see it here: python -m http.server --directory {shlex.quote(str(path))}")


class Serve(Section):
    """Serve a model over HTTP, with a page to draw on.

    Example: dsnjax serve --workdir runs/a --port 8000
    """

    workdir: Path | None = None
    """Folder of a run."""
    model: Path | None = None
    """Folder made by dsnjax bundle; without either, the model that ships with dsnjax."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 is all of this machine's."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port to listen on; 0 takes a free one."""
    collect: Path | None = None
    """Folder for drawings that people save under a new name on the page; none keeps none."""

    def execute(self) -> None:
        folder = one_model("serve", self.workdir, self.model)
        with extra("serve", "serve"):
            from dsnjax.serve import app, run
        options = app.Options(collect=self.collect)
        run.serve(folder, self.host, self.port, options)


class Runtime(Section):
    """Fetch what runs models in browsers (onnxruntime-web) for the page; 14 MB, once.

    Example: dsnjax runtime
    """

    source: str | None = None
    """The npm package as a .tgz: a file or an address; none: npm is asked for it."""

    def execute(self) -> None:
        from dsnjax.serve import runtime

        runtime.fetch(self.source)
        print(f"{runtime.FOLDER}: onnxruntime-web {runtime.VERSION}, every file as it was tested")


class Report(Section):
    """Show a store, or finished runs side by side, as one offline page with its numbers beside it.

    Example: dsnjax report --workdir runs/a runs/b
    """

    store: Path | None = None
    """A store to look into."""
    workdir: tuple[Path, ...] = ()
    """Folders of finished runs; several are compared with the first."""
    dest: Path | None = None
    """The page to write; by default report.html in the store or the work directory,
    report-CATEGORY.html for one category, or comparison.html beside the first of several."""
    category: str | None = None
    """Show this category of the store alone."""
    figure: Path | None = None
    """Instead of a page, write an SVG: of a store the category's entropy histogram with the
    filter's cuts, of a run its network."""
    noise: config.Noise = config.Noise()

    def execute(self) -> None:
        if bool(self.store) == bool(self.workdir):
            raise UserError("report: want either --store S or --workdir W, and one of them")
        if self.workdir and self.category:
            raise UserError("report: --category shows a store; give --store S")
        if self.workdir and "noise" in self.model_fields_set:
            raise UserError("report: --noise.* cuts a store; what a run dropped is in its config")
        if self.store and self.figure and not self.category:
            raise UserError("report: --figure shows one category; name it with --category")
        if self.figure and (self.dest or self.workdir[1:]):
            raise UserError("report: --figure is one file of one store or run; leave the rest out")
        print(self._of_store(self.store) if self.store else self._of_runs())

    def _of_store(self, path: Path) -> Path:
        from dsnjax.data.store import Store
        from dsnjax.report import explore

        store = Store.open(path)
        if self.figure and self.category:
            explore.entropy_figure(store, self.category, self.figure, self.noise)
            return self.figure
        own = f"report-{self.category}.html" if self.category else "report.html"
        dest = page_path(self.dest or path / own)
        explore.write(store, dest, self.noise, self.category)
        return dest

    def _of_runs(self) -> Path:
        from dsnjax.report import runs

        if self.figure:
            runs.network_figure(self.workdir[0], self.figure)
            return self.figure
        first = self.workdir[0]
        beside = first.parent / "comparison.html" if self.workdir[1:] else first / "report.html"
        dest = page_path(self.dest or beside)
        runs.write(self.workdir, dest)
        return dest


class Sweep(Section):
    """Train one base config with many overrides; interrupted, go on where it stopped.

    Example: dsnjax sweep --config learning_rate --store S --workdir runs/learning_rate
    """

    config: str
    """A sweep (ablation, alpha, batch_size, image_size, learning_rate) or a YAML file like one."""
    workdir: Path
    """Folder of the work directories, one a run, and of sweep.csv, sweep.json and two figures:
    sweep.svg (against steps) and estimates.svg (against what the runs differ in)."""
    store: Path | None = None
    """The drawings of every run; by default those of the file."""
    base: str | None = None
    """A preset or YAML file to start from instead of the file's own, such as dsn_plus."""
    set: tuple[str, ...] = ()
    """Values that every run has: run.epochs=5 data.noise.filter=all."""
    jobs: Count | None = None
    """Runs at a time; by default one, with Ray as many as its cluster has room for."""
    engine: Literal["local", "ray"] = "local"
    """Who trains: processes of this machine, or a Ray cluster that sees the same folders, each run
    with a GPU of its own where there are any."""

    def execute(self) -> None:
        from rich.console import Console

        from dsnjax import files, sweep

        common = sweep.assigned(self.set)
        if self.store:
            common["data.store"] = str(self.store.absolute())
        runs = sweep.plan(self.config, common, self.base)
        with files.locked(self.workdir):
            failed = sweep.execute(runs, self.workdir, self.jobs, self.engine)
            Console().print(sweep.write(runs, self.workdir, failed))
        if failed:
            name, said = next(iter(failed.items()))
            raise UserError(f"{self.workdir}: {len(failed)} of {len(runs)} failed; {name}: {said}")


COMMANDS = {
    "train": Train,
    "download": Download,
    "prepare": Prepare,
    "evaluate": Evaluate,
    "bundle": Bundle,
    "predict": Predict,
    "draw": Draw,
    "export": Export,
    "serve": Serve,
    "runtime": Runtime,
    "report": Report,
    "sweep": Sweep,
}


def run_folder(workdir: Path | str | None, config: str | None) -> Path:
    """The work directory of a run: the one named, else runs/ and the name of the config."""
    return Path(workdir or Path("runs") / Path(config or "default").stem)


def page_path(path: Path) -> Path:
    """The path of a page. Raises UserError for another ending: its numbers lie beside it."""
    if path.suffix != ".html":
        raise UserError(f"--dest {path}: want a file that ends in .html")
    return path


def headline(figures: dict[str, Any], workdir: Path) -> str:
    """The figures of a run on one line."""
    place = workdir / "evaluation.json" if "calibration" in figures else workdir
    views = f", {figures['views']} views of each" if "views" in figures else ""
    return (
        f"{figures['split']}: MAP@3 {figures['map3']:.4f}, accuracy {figures['accuracy']:.4f}, "
        f"{figures['drawings']:,} drawings{views}, step {figures['step']} ({place})"
    )


def say_unread(bad: int, total: int) -> None:
    """Says how many rows were bad, where some were."""
    if bad:
        print(f"{bad:,} of {total:,} rows could not be read", file=sys.stderr)


def one_model(command: str, workdir: Path | None, model: Path | None) -> Path | None:
    """The folder that is meant; None where neither is named."""
    if workdir and model:
        raise UserError(f"{command}: --workdir and --model are both given; want one")
    return workdir or model


def table_row(answer: dict[str, Any]) -> str:
    """An answer of predict for a person."""
    if "error" in answer:
        return f"{'-':>20}  {answer['error']}"
    before = answer.get("strokes", [])[:-1]
    rows = [(f"stroke {number}", top) for number, top in enumerate(before, 1)]
    return "\n".join(
        f"{head:>20}  " + "  ".join(f"{one['category']} {one['probability']:.0%}" for one in top)
        for head, top in [*rows, (answer["key_id"] or "-", answer["top"])]
    )
