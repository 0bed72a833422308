"""Our networks once more in PyTorch, from the same config: what bench_train_step races against.

Written as a PyTorch user would: cuDNN's and oneDNN's own layers, no masks where they cost time (the
recurrent layers read the padding as well, which only makes them faster).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from dsnjax import config

EXPANSION = 4  # a bottleneck gives four times its width


class Squeeze(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, features: int, divisor: int):
        super().__init__()
        self.narrow = nn.Linear(features, features // divisor)
        self.wide = nn.Linear(features // divisor, features)

    def forward(self, x: Tensor) -> Tensor:  # [b, c, h, w]
        scale = torch.sigmoid(self.wide(torch.relu(self.narrow(x.mean((2, 3))))))
        return x * scale[:, :, None, None]


class Residual(nn.Module):
    """A residual block of any kind that config.CNN names."""

    def __init__(self, inputs: int, width: int, stride: int, size: config.CNN):
        super().__init__()
        middle, self.features = size.middle * width, width
        if size.block == "bottleneck":
            self.features = EXPANSION * width
            steps = [
                _convolution(inputs, middle, side=1),
                _convolution(middle, middle, stride=stride, groups=size.groups),
                _convolution(middle, self.features, side=1),
            ]
        else:
            steps = [_convolution(inputs, width, stride=stride), _convolution(width, width)]
        layers: list[nn.Module] = []
        for step in steps:
            layers += [step, nn.BatchNorm2d(step.out_channels), nn.ReLU(inplace=True)]
        self.path = nn.Sequential(*layers[:-1])
        self.squeeze = Squeeze(self.features, size.squeeze) if size.squeeze else nn.Identity()
        self.shortcut: nn.Module = nn.Identity()
        if size.block == "light":
            pool = nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False)
            match = nn.Conv2d(inputs, width, 1) if inputs != width else nn.Identity()
            self.shortcut = nn.Sequential(pool, match) if stride > 1 else match
        elif stride > 1 or inputs != self.features:
            project = _convolution(inputs, self.features, side=1, stride=stride)
            self.shortcut = nn.Sequential(project, nn.BatchNorm2d(self.features))

    def forward(self, x: Tensor) -> Tensor:  # [b, c, h, w]
        return torch.relu(self.squeeze(self.path(x)) + self.shortcut(x))


class ResNet(nn.Module):
    """Image to a grid of tokens [b, n, d]."""

    def __init__(self, size: config.CNN, channels: int):
        super().__init__()
        width = size.widths[0]
        if size.stem:
            inputs = channels * size.stem**2
            stem = [nn.PixelUnshuffle(size.stem), _convolution(inputs, width)]
        else:
            stem = [_convolution(channels, width, side=7, stride=2)]
        stem += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        self.stem = nn.Sequential(*stem, *([] if size.stem else [nn.MaxPool2d(3, 2, 1)]))
        blocks, self.features = [], width
        for stage, (width, count) in enumerate(zip(size.widths, size.blocks, strict=True)):
            for block in range(count):
                stride = 2 if stage and not block else 1
                blocks.append(Residual(self.features, width, stride, size))
                self.features = blocks[-1].features
        self.blocks = nn.Sequential(*blocks)

    def forward(self, image: Tensor) -> Tensor:
        return self.blocks(self.stem(image)).flatten(2).transpose(1, 2)


class Plain(nn.Module):
    """The paper's baseline: plain convolutions, max pooling, one layer over the whole grid."""

    def __init__(self, size: config.CNN, side: int, channels: int):
        super().__init__()
        layers: list[nn.Module] = [nn.PixelUnshuffle(size.stem)] if size.stem > 1 else []
        inputs, side = channels * size.stem**2, side // size.stem
        for stage, (width, count) in enumerate(zip(size.widths, size.blocks, strict=True)):
            for block in range(count):
                stride = 2 if stage and not block else 1
                convolution = nn.Conv2d(inputs, width, 3, stride, 1)
                layers += [convolution, nn.ReLU(inplace=True)]
                inputs, side = width, -(-side // stride)
            if stage:
                layers.append(nn.MaxPool2d(3, 2, 1))
                side = -(-side // 2)
        self.layers = nn.Sequential(*layers)
        self.dense = nn.Linear(inputs * side * side, size.dense) if size.dense else None
        self.features = size.dense or inputs

    def forward(self, image: Tensor) -> Tensor:
        x = self.layers(image)
        if self.dense:
            return torch.relu(self.dense(x.flatten(1)))[:, None]
        return x.flatten(2).transpose(1, 2)


class RNN(nn.Module):
    """Points to one token a step [b, t, d]."""

    def __init__(self, size: config.RNN, dropout: float):
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for width, kernel, stride in zip(size.widths, size.kernels, size.strides, strict=True):
            layers.append(nn.Conv1d(inputs, width, kernel, stride, (kernel - 1) // 2))
            layers += [nn.ReLU()] if size.activation == "relu" else []
            layers.append(nn.Dropout(dropout))
            inputs = width
        self.convolutions = nn.Sequential(*layers)
        cell = {"lstm": nn.LSTM, "gru": nn.GRU}[size.cell]
        self.recurrent = cell(
            inputs,
            size.hidden,
            size.layers,
            batch_first=True,
            dropout=dropout if size.layers > 1 else 0.0,
            bidirectional=size.bidirectional,
        )
        self.features = size.hidden * (2 if size.bidirectional else 1)

    def forward(self, points: Tensor) -> Tensor:
        x = self.convolutions(points.transpose(1, 2)).transpose(1, 2)
        return self.recurrent(x)[0]


class Network(nn.Module):
    """The network of a config: (logits, feature, logits of each branch)."""

    def __init__(self, model: config.Model, data: config.Data, categories: int):
        super().__init__()
        self.model, self.data = model, data
        self.cnn = self.rnn = None
        features = []
        if model.branches != "rnn":
            channels = len(data.levels)
            plain = model.cnn.block == "plain"
            self.cnn = (
                Plain(model.cnn, data.image_size, channels)
                if plain
                else ResNet(model.cnn, channels)
            )
            features.append(self.cnn.features)
        if model.branches != "cnn":
            self.rnn = RNN(model.rnn, model.dropout)
            features.append(self.rnn.features)
        self.joined = len(features) == 2 and model.fusion == "tokens"
        width = model.width
        if self.joined:
            self.tokens = nn.ModuleList(nn.Linear(one, width) for one in features)
            self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in features)
            self.hidden, self.score = nn.Linear(width, width), nn.Linear(width, model.heads)
            self.head = nn.Linear(width, categories)
            features = [width, width]
        elif len(features) == 2:
            self.score = nn.Linear(categories, 1, bias=False)
        self.heads = nn.ModuleList(nn.Linear(one, categories) for one in features)

    def forward(self, image: Tensor, points: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        tokens = [self.cnn(image)] if self.cnn else []
        tokens += [self.rnn(points)] if self.rnn else []
        if self.joined:
            parts = zip(tokens, self.tokens, self.norms, strict=True)
            tokens = [norm(match(one)) for one, match, norm in parts]
        vectors = [one.mean(1) for one in tokens]
        drop = self.model.dropout
        if not self.joined:
            kept = [fn.dropout(one, drop, self.training) for one in vectors]
            branches = [head(one) for head, one in zip(self.heads, kept, strict=True)]
            if len(branches) == 1:
                return branches[0], vectors[0], []
            said = torch.stack(branches, 1).log_softmax(-1)
            logits = (self.score(said).softmax(1) * said).sum(1)
            return logits, torch.cat(vectors, -1), branches
        branches = [head(one) for head, one in zip(self.heads, vectors, strict=True)]
        everything = torch.cat(tokens, 1)
        weights = self.score(torch.tanh(self.hidden(everything))).softmax(1)  # [b, n, heads]
        parts = everything.unflatten(-1, (self.model.heads, -1))
        feature = torch.einsum("bnh,bnhd->bhd", weights, parts).flatten(1)
        return self.head(fn.dropout(feature, drop, self.training)), feature, branches


class Trainer:
    """A training step of a network, as `dsnjax.step.make_train_step` takes it."""

    def __init__(self, settings: config.Config, categories: int, device: str, kind: str):
        """`kind` names the variant: float32 or bfloat16, eager or compiled."""
        dtype, how = kind.split()
        self.loss, self.optim, self.device = settings.loss, settings.optim, device
        network = Network(settings.model, settings.data, categories).to(device)
        self.network = network.to(memory_format=torch.channels_last)
        self.call = torch.compile(self.network) if how == "compiled" else self.network
        self.low = dtype == "bfloat16"
        self.tx = torch.optim.AdamW(
            network.parameters(), settings.optim.learning_rate, weight_decay=0.0
        )
        self.centers: Tensor | None = None

    def put(self, batch: dict) -> dict[str, Tensor]:
        """A batch of numpy arrays on the device."""
        image = torch.from_numpy(batch["image"]).permute(0, 3, 1, 2)
        found = {"image": image.to(memory_format=torch.channels_last)}
        found |= {name: torch.from_numpy(batch[name]) for name in ("points", "label")}
        return {name: one.to(self.device) for name, one in found.items()}

    def step(self, batch: dict[str, Tensor]) -> Tensor:
        """Moves the weights by one batch; the loss, still on the device."""
        label = batch["label"].long()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.low):
            image = batch["image"].float() / 255
            logits, feature, branches = self.call(image, batch["points"])
        smooth = self.loss.label_smoothing
        loss = fn.cross_entropy(logits.float(), label, label_smoothing=smooth)
        for own in branches:
            loss = loss + self.loss.auxiliary * fn.cross_entropy(own.float(), label)
        if self.loss.alpha:
            loss = loss + self.loss.alpha * self._pull(feature.float(), label)
        self.tx.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.optim.clip)
        self.tx.step()
        return loss

    def _pull(self, feature: Tensor, label: Tensor) -> Tensor:
        """Center loss with running centers."""
        if self.centers is None:
            self.centers = torch.zeros(self.network.heads[0].out_features, feature.shape[1])
            self.centers = self.centers.to(feature.device)
        with torch.no_grad():
            count = torch.bincount(label, minlength=len(self.centers)).clamp(min=1)[:, None]
            mean = torch.zeros_like(self.centers).index_add_(0, label, feature) / count
            self.centers = self.centers.lerp(mean, 0.05 * (mean.abs().sum(1, True) > 0))
        return (feature - self.centers[label]).square().sum(1).mean()


def _convolution(
    inputs: int, features: int, *, side: int = 3, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    return nn.Conv2d(inputs, features, side, stride, side // 2, groups=groups, bias=False)
