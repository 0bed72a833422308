"""The accuracy of the network that a PyTorch user would train, on the drawings of a store.

    python benchmarks/torch_cnn.py --store S --epochs 3 --rnn runs/tf_rnn --ours runs/dsn_best

A plain CNN over images that OpenCV draws, on the same rows of training and the same test rows as a
run of dsnjax. `--rnn` names a run of the other network a user would take, the RNN of TensorFlow's
tutorial (the preset tf_rnn), and averages the two; `--ours` a run to compare with that average.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import gates
import numpy as np
import rivals
import torch
from torch import nn
from torch.nn import functional as fn

from dsnjax import config, metrics, settings, tracking
from dsnjax.data import batches, noise
from dsnjax.data.store import Store
from dsnjax.predict import Recognizer
from dsnjax.report import statistics

WIDTHS = (24, 48, 48, 96, 96, 192, 192)
HALVED = (0, 2, 4)  # convolutions behind which the image is halved
RATE, DECAY = 3e-3, 1e-2
WEIGHT = 0.7  # of the CNN in the average; what is left is the RNN's
SEED = 0
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
KEEP = ".npy of what the CNN said of the test rows: read where it is there, else trained for"


def main() -> int:
    parser = argparse.ArgumentParser(description="The accuracy of a plain CNN in PyTorch")
    parser.add_argument("--store", type=Path, required=True, metavar="S")
    parser.add_argument("--preset", default="dsn_small", help="whose images and splits to take")
    parser.add_argument("--epochs", type=int, default=3, metavar="N")
    parser.add_argument("--keep", type=Path, metavar="PATH", help=KEEP)
    parser.add_argument("--rnn", type=Path, metavar="W", help="a run of tf_rnn, to average with")
    parser.add_argument("--ours", type=Path, metavar="W", help="a run to compare with the average")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write all figures here")
    chosen = parser.parse_args()
    data = settings.check(config.Config, settings.load(chosen.preset)).data
    store = Store.open(chosen.store)
    rows = batches.rows(store, data)
    print(f"{gates.machine()}; torch {torch.__version__}")
    said = {"PyTorch's CNN": answers(chosen, store, rows, data)}
    test = rows["test"]
    if chosen.rnn:
        said["TensorFlow's RNN"] = recognized(chosen.rnn, store, test)
        cnn, rnn = said.values()
        said["both, averaged"] = cnn**WEIGHT * rnn ** (1 - WEIGHT)
    if chosen.ours:
        said[chosen.ours.name] = recognized(chosen.ours, store, test)
    figures = compared(said, store, test, data.noise)
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


def answers(
    chosen: argparse.Namespace, store: Store, rows: dict[str, np.ndarray], data: config.Data
) -> np.ndarray:
    """[b, k] probabilities of the test rows, by a network trained now or before."""
    if chosen.keep and chosen.keep.is_file():
        return np.load(chosen.keep)
    start = time.perf_counter()
    network = trained(store, rows["train"], data, chosen.epochs)
    print(
        f"{chosen.epochs} epochs of {len(rows['train']):,} in {time.perf_counter() - start:.0f} s"
    )
    said = probabilities(network, store, rows["test"], data)
    if chosen.keep:
        np.save(chosen.keep, said)
    return said


class Images(torch.utils.data.Dataset):
    """Image [1, h, w] and label of a store's rows; of half the drawings mirrored, in training."""

    def __init__(self, store: Store, rows: np.ndarray, data: config.Data, *, train: bool):
        self.drawings, self.train = rivals.Drawings(store, rows, data), train

    def __len__(self) -> int:
        return len(self.drawings)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        image = torch.from_numpy(self.drawings.image(self.drawings.drawings[row]))[None]
        if self.train and torch.rand(()) < 0.5:
            image = image.flip(2)
        return image, self.drawings.label[row]


def plain(categories: int) -> nn.Sequential:
    """Seven 3x3 convolutions, each with batch norm, then the mean over the image."""
    layers: list[nn.Module] = []
    for place, (inputs, width) in enumerate(zip((1, *WIDTHS), WIDTHS, strict=False)):
        layers += [nn.Conv2d(inputs, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
        layers.append(nn.ReLU(inplace=True))
        if place in HALVED:
            layers.append(nn.MaxPool2d(2))
    head = (
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(WIDTHS[-1], categories),
    )
    return nn.Sequential(*layers, *head).to(memory_format=torch.channels_last)  # type: ignore


def trained(store: Store, rows: np.ndarray, data: config.Data, epochs: int) -> nn.Module:
    """AdamW under one cycle of learning rates, as PyTorch's own examples have it."""
    torch.manual_seed(SEED)
    images = Images(store, rows, data, train=True)
    loader = torch.utils.data.DataLoader(images, data.batch_size, shuffle=True, drop_last=True)
    network = plain(len(store.categories)).to(DEVICE).train()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    steps = epochs * len(loader)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    with tracking.bar("training", steps) as bar:
        for image, label in bar.watched(batch for _ in range(epochs) for batch in loader):
            loss = fn.cross_entropy(network(scaled(image)), label.to(DEVICE))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def scaled(image: torch.Tensor) -> torch.Tensor:
    return (image.to(DEVICE) / 255).to(memory_format=torch.channels_last)


@torch.no_grad()
def probabilities(
    network: nn.Module, store: Store, rows: np.ndarray, data: config.Data
) -> np.ndarray:
    """[b, k] of the network."""
    images = Images(store, rows, data, train=False)
    parts = torch.utils.data.DataLoader(images, data.batch_size)
    return np.concatenate([network(scaled(image)).softmax(1).cpu().numpy() for image, _ in parts])


def recognized(workdir: Path, store: Store, rows: np.ndarray) -> np.ndarray:
    """[b, k] of a run of dsnjax."""
    return Recognizer(workdir).probabilities(store.take(rows))


def compared(
    said: dict[str, np.ndarray], store: Store, rows: np.ndarray, rule: config.Noise
) -> dict[str, dict]:
    """MAP@3 with its interval, of all rows and of those that the entropy filter keeps."""
    label = store.label[rows].astype(int)
    keep = noise.keep_mask(store.entropy, store.label, rule)[rows]
    scores = {name: reciprocal(chances, label) for name, chances in said.items()}
    if len(said) == 4:
        *_, average, (ours, best) = scores.items()
        scores[f"{ours} - average"] = best - average[1]
    figures = {
        name: {
            "all rows": asdict(statistics.estimate(score)),
            "filtered rows": asdict(statistics.estimate(score[keep])),
        }
        for name, score in scores.items()
    }
    head = ("MAP@3", f"all {len(rows):,} test rows", f"the {keep.sum():,} filtered ones")
    shown = [(name, *(interval(one) for one in both.values())) for name, both in figures.items()]
    gates.show("Accuracy", head, shown)
    return figures


def reciprocal(chances: np.ndarray, label: np.ndarray) -> np.ndarray:
    """[b] 1, 1/2, 1/3 or 0: MAP@3's summand."""
    return metrics.reciprocal(np.asarray(metrics.ranks(chances, label)))


def interval(one: dict[str, float]) -> str:
    return f"{one['value']:.4f} ({one['low']:.4f} to {one['high']:.4f})"


if __name__ == "__main__":
    raise SystemExit(main())
