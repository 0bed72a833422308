"""A folder that holds one run: config.yaml, metrics.jsonl, checkpoints/, evaluation.json."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import jax
from jax.sharding import Mesh

from dsnjax import checkpoint, files, measured, mesh, optim, processes, settings, state
from dsnjax import config as schema
from dsnjax.data import prepare, synthetic
from dsnjax.data.store import MANIFEST, Store
from dsnjax.errors import CheckpointError, UserError

CHECKSUM = "store.sha256"  # of the drawings that the run began with
LATE = 60  # seconds in which all processes must see what one wrote; NFS looks anew after 30


@dataclass(frozen=True)
class Workdir:
    """One run's folder; `evaluate`, `bundle` and `predict` need nothing else."""

    path: Path

    def config(self) -> schema.Config:
        """The resolved config of the run. Raises CheckpointError where none was begun."""
        file = self.path / "config.yaml"
        if not file.is_file():
            raise CheckpointError(f"{self.path}: no run here (no config.yaml); train there first")
        return settings.check(schema.Config, settings.load(str(file)), str(file))

    @contextmanager
    def claim(self, config: schema.Config) -> Iterator[None]:
        """Holds the folder for one run of `config`; writes config.yaml, or finds the same one.

        A store may have been moved since: the run goes on with its drawings where they lie now.

        Raises:
            UserError: another process trains here, the folder cannot be written, or it holds a run
                of other values.
        """
        with ExitStack() as held:
            begun = processes.together(lambda: self._begin(config, held))
            try:
                processes.alike(lambda: processes.first() or self._seen(config))
                yield
            except UserError:
                if begun and processes.first() and not self.checkpoints().steps():
                    self._forget()  # or the next command would begin with what was refused
                raise

    def store(self) -> Store:
        """The drawings of the run: its store, or the made-up ones, written here once.

        Raises:
            UserError: no store there; its drawings or categories are not those that the run began
                with.
        """
        data = self.config().data
        if not data.store:
            processes.together(lambda: self._make_up(data.made_up))
        try:
            found = Store.open(data.store or self.path / "store")
        except UserError as error:
            if not (data.store and (self.path / CHECKSUM).exists()):
                raise
            file = self.path / "config.yaml"
            raise UserError(f"{error}; or, if it was moved, set data.store in {file}") from error
        processes.together(lambda: self._remember(found))
        self._same_drawings(found)
        return found

    def categories(self) -> tuple[str, ...]:
        """The names in label order. Raises CheckpointError where no run was begun."""
        file = self.path / "categories.txt"
        if not file.is_file():
            raise CheckpointError(f"{self.path}: no run here (no {file.name}); train there first")
        try:
            return tuple(file.read_text(encoding="utf-8").splitlines())
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{file}: damaged ({error}); train afresh") from error

    def checkpoints(self) -> checkpoint.Checkpoints:
        """The steps saved here."""
        return checkpoint.Checkpoints(self.path / "checkpoints")

    def restore(self, devices: Mesh | None = None) -> tuple[state.Network, state.TrainState]:
        """The network and its best state.

        A damaged step is skipped, which is said, for the next best one.

        Args:
            devices: how the state lies; by default a copy of it on every device.

        Raises:
            CheckpointError: no step was saved, or all are damaged.
        """
        config = self.config()
        frozen = config.init.freeze
        network = state.network(config.model, config.data, len(self.categories()), frozen)
        with self.checkpoints() as saved:
            return network, saved.best(abstract(network, config, devices or mesh.make()))

    def _begin(self, config: schema.Config, held: ExitStack) -> bool:
        held.enter_context(files.locked(self.path))
        return self._write(config)

    def _seen(self, config: schema.Config) -> None:
        """Compares with what process 0 has written; disks of a network may tell of it late."""
        file, end = self.path / "config.yaml", time.monotonic() + LATE
        while not file.is_file():
            if time.monotonic() > end:
                raise UserError(
                    f"{self.path}: not the folder that process 0 sees; want one that all share"
                )
            time.sleep(0.2)
        settings.same_run(file, config, moved=True)

    def _forget(self) -> None:
        for name in ("config.yaml", "categories.txt", CHECKSUM):
            (self.path / name).unlink(missing_ok=True)

    def _make_up(self, count: int) -> None:
        folder, store = self.path / "drawings", self.path / "store"
        if (store / MANIFEST).is_file():
            if Store.open(store).manifest.counts.rows != count * len(synthetic.categories()):
                raise UserError(f"{store}: other made-up drawings; give another --workdir")
        else:
            synthetic.write(folder, count, seed=0)
            prepare.prepare([folder], store, synthetic.categories(), jobs=1)

    def _remember(self, store: Store) -> None:
        names = "".join(f"{name}\n" for name in store.categories)
        for name, text in (("categories.txt", names), (CHECKSUM, f"{store.checksum}\n")):
            if not (self.path / name).exists():
                files.write(self.path / name, text)

    def _same_drawings(self, store: Store) -> None:
        begun = (self.path / CHECKSUM).read_text(encoding="utf-8").strip()
        if self.categories() != store.categories or begun != store.checksum:
            other = "drawings" if self.categories() == store.categories else "categories"
            raise UserError(
                f"{store.path}: other {other} than the run in {self.path} began with; "
                "give another --workdir, or the store it was trained on"
            )

    def _write(self, config: schema.Config) -> bool:
        """Gives whether a run begins here: nothing was, or nothing that was trained."""
        file, text = self.path / "config.yaml", settings.dump(config)
        there = file.read_text(encoding="utf-8") if file.exists() else ""
        ours = there.startswith(settings.WRITTEN_BY)
        if self.checkpoints().steps() or measured.figures(self.path) or not ours:
            settings.same_run(file, config, moved=ours)
            place = config.data.store
            if ours and place and place != self.config().data.store:  # it was moved
                store = Store.open(place)
                self._remember(store)
                self._same_drawings(store)
                files.write(file, text)
        elif there != text:  # begun by mistake: there is nothing to lose yet
            self._forget()
        if file.exists():
            return False
        files.write(file, text)
        return True


def abstract(network: state.Network, config: schema.Config, devices: Mesh) -> state.TrainState:
    """Shapes of a run's state, and how it lies on the devices."""
    tx = optim.make(config.optim, ends=(1,))  # no shape depends on how long a run is
    ema = config.optim.ema > 0
    shapes = jax.eval_shape(lambda: state.initial(network, tx, config.seed, ema=ema))
    return mesh.laid(devices, shapes)
