"""fast_cnn and its training in plain PyTorch; imports nothing of this project, and runs alone.

    python benchmarks/torch_network.py --precision=mixed_bfloat16 throughput --batch=128 --images=5120
    python benchmarks/torch_network.py train ARRAYS --epochs=15
    python benchmarks/torch_network.py peak

Network, initial weights, loss, optimizer, schedule and augmentation are those that the pipeline trains
CIFAR-10 with; bfloat16 is autocast; channels are last in memory. ARRAYS is a folder with
{train,test}/{images,labels}.npy. `throughput` and `peak` print a line of JSON when they are ready, and one
for every line that they are given; `train` prints one at its end.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

_EPSILON = 1e-3  # of normalization, as Keras has it
_PEAK_SECONDS = 1.0


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """At first it passes its input channels on."""
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    bound = (9 * inputs) ** -0.5
    nn.init.uniform_(layer.weight, -bound, bound)
    nn.init.dirac_(layer.weight.data[:inputs])
    return layer


class Block(nn.Module):
    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            _convolution(inputs, width), nn.MaxPool2d(2), nn.BatchNorm2d(width, eps=_EPSILON), nn.ReLU()
        )
        self.residual = nn.Sequential(
            _convolution(width, width), nn.BatchNorm2d(width, eps=_EPSILON), nn.ReLU()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return x + self.residual(x)


class FastCnn(nn.Module):
    """Scaled images (N, 3, height, width) to logits (N, classes)."""

    def __init__(self, widths: Sequence[int], num_classes: int, whitening: torch.Tensor) -> None:
        super().__init__()
        self.whitening = nn.Conv2d(3, len(whitening), 2, bias=False)
        self.whitening.weight.data = whitening
        self.whitening.weight.requires_grad = False
        pairs = zip([len(whitening), *widths], widths, strict=False)
        self.blocks = nn.Sequential(*(Block(inputs, width) for inputs, width in pairs))
        self.classifier = nn.Linear(widths[-1], num_classes, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(functional.relu(self.whitening(x)))
        return 0.2 * self.classifier(x.amax(dim=(2, 3)))


def whitening_kernel(images: np.ndarray, std: np.ndarray) -> torch.Tensor:
    """Eigenvectors of 2x2 patches of scaled images, scaled to unit variance, each with both signs."""
    scaled = (images[:5000] - images[:5000].mean(axis=(0, 1, 2))) / std
    corners = [scaled[:, y : y - 1 or None, x : x - 1 or None] for y in (0, 1) for x in (0, 1)]
    patches = np.stack(corners, axis=-1).reshape(
        -1, 3 * 4
    )  # channels, then corners: as torch has its kernels
    values, vectors = np.linalg.eigh(np.cov(patches, rowvar=False))
    filters = (vectors / np.sqrt(values.clip(min=0) + 5e-4)).T[::-1]
    kernel = np.concatenate([filters, -filters]).reshape(-1, 3, 2, 2)
    return torch.from_numpy(np.ascontiguousarray(kernel, dtype=np.float32))


def augmented(images: torch.Tensor, fill: torch.Tensor) -> torch.Tensor:
    """Flips, shifts by an eighth mirrored at the border, and a covered square of a quarter of the side.

    (N, height, width, 3) uint8, before and after.
    """
    count, side = len(images), images.shape[1]
    ramp = torch.arange(side)
    rows, columns = (ramp + torch.randint(-(side // 8), side // 8 + 1, (count, 1)) for _ in range(2))
    columns = torch.where(torch.rand(count, 1) < 0.5, columns, side - 1 - columns)
    rows, columns = (side - 1 - (side - 1 - index.abs()).abs() for index in (rows, columns))
    images = images[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    covered = []
    for _ in range(2):
        start = torch.randint(0, side - side // 4 + 1, (count, 1))
        covered.append((ramp >= start) & (ramp < start + side // 4))
    inside = covered[0][:, :, None] & covered[1][:, None, :]
    return torch.where(inside[..., None], fill, images)


class Training:
    """A network, its images, and what an epoch needs."""

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        widths: Sequence[int],
        batch: int,
        precision: str,
        rate: float,
    ) -> None:
        self._images, self._labels = torch.from_numpy(images), torch.from_numpy(labels)
        self._batch, self._bfloat16, self._rate = min(batch, len(images)), precision == "mixed_bfloat16", rate
        mean, std = images.mean(axis=(0, 1, 2)), images.std(axis=(0, 1, 2)).clip(min=1.0)
        self._mean, self._std = (
            torch.tensor(each, dtype=torch.float32).view(3, 1, 1) for each in (mean, std)
        )
        self._fill = torch.from_numpy(mean.round().astype(np.uint8))
        network = FastCnn(widths, int(labels.max()) + 1, whitening_kernel(images, std))
        self._network = network.to(memory_format=torch.channels_last)
        parameters = [each for each in network.parameters() if each.requires_grad]
        self._decaying = [each for each in parameters if each.ndim > 1]
        self._optimizer = torch.optim.SGD(parameters, lr=rate, momentum=0.9, nesterov=True)
        self.steps_per_epoch = len(images) // self._batch
        self.images_per_epoch = self.steps_per_epoch * self._batch

    def run_epoch(self, learning_rates: Iterator[float]) -> None:
        self._network.train()
        order = torch.randperm(len(self._images))
        for step in range(self.steps_per_epoch):
            rows = order[step * self._batch : (step + 1) * self._batch]
            self._step(augmented(self._images[rows], self._fill), self._labels[rows], next(learning_rates))

    def _step(self, images: torch.Tensor, labels: torch.Tensor, learning_rate: float) -> None:
        loss = functional.cross_entropy(self._logits(images).float(), labels, label_smoothing=0.1)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        with torch.no_grad():  # decoupled, which torch's SGD does not have
            for parameter in self._decaying:
                parameter.mul_(1 - learning_rate * 0.005)
        self._optimizer.step()
        if not torch.isfinite(loss):
            sys.exit("the loss is no longer finite")

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        scaled = (images.permute(0, 3, 1, 2).float() - self._mean) / self._std
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bfloat16):
            logits: torch.Tensor = self._network(scaled.contiguous(memory_format=torch.channels_last))
        return logits

    def correct(self, images: np.ndarray, labels: np.ndarray) -> int:
        self._network.eval()
        found = 0
        with torch.no_grad():
            for start in range(0, len(images), 500):
                logits = self._logits(torch.from_numpy(images[start : start + 500]))
                found += int((logits.argmax(1).numpy() == labels[start : start + 500]).sum())
        return found


def one_cycle(peak: float, steps: int) -> Iterator[float]:
    """A fifth of the steps up to the peak, the others down to 0."""
    rise = round(0.2 * steps)
    for step in range(steps):
        yield peak * ((step + 1) / rise if step < rise else 1 - (step - rise) / (steps - rise))


def throughput(options: argparse.Namespace) -> None:
    """A round is a pass over made images."""
    generator = np.random.default_rng(0)
    labels = generator.integers(10, size=options.images)
    noise = generator.integers(128, size=(options.images, 32, 32, 3), dtype=np.uint8)
    images = (noise + 12 * labels[:, None, None, None]).astype(np.uint8)
    training = Training(images, labels, options.widths, options.batch, options.precision, rate=0.01)
    rates = iter(lambda: 0.01, None)
    training.run_epoch(rates)
    _answer(versions=_versions())
    while True:
        began = time.perf_counter()
        training.run_epoch(rates)
        _answer(images_per_second=training.images_per_epoch / (time.perf_counter() - began))


def peak(options: argparse.Namespace) -> None:
    """GFLOP/s of a product of matrices or of a convolution, whichever is faster."""
    dtype = torch.bfloat16 if options.precision == "mixed_bfloat16" else torch.float32
    matrix = torch.randn(2048, 2048).to(dtype)
    planes = torch.randn(32, 256, 16, 16).to(dtype).contiguous(memory_format=torch.channels_last)
    kernel = torch.randn(256, 256, 3, 3).to(dtype).contiguous(memory_format=torch.channels_last)
    _answer(versions=_versions())
    with torch.no_grad():
        while True:
            product = 2 * 2048**3 / _fastest(lambda: matrix @ matrix)
            work = 2 * 32 * 16 * 16 * 256 * 256 * 9
            _answer(
                gflops=max(product, work / _fastest(lambda: functional.conv2d(planes, kernel, padding=1)))
                / 1e9
            )


def _fastest(work: Callable[[], Any]) -> float:
    work()
    end, fastest = time.perf_counter() + _PEAK_SECONDS, float("inf")
    while (began := time.perf_counter()) < end or fastest == float("inf"):
        work()
        fastest = min(fastest, time.perf_counter() - began)
    return fastest


def train(options: argparse.Namespace) -> None:
    """Fit for some epochs, then look at the test images once."""
    (images, labels), (test_images, test_labels) = (
        (np.load(options.arrays / name / "images.npy"), np.load(options.arrays / name / "labels.npy"))
        for name in ("train", "test")
    )
    torch.manual_seed(0)
    began = time.perf_counter()
    training = Training(images, labels, options.widths, options.batch, options.precision, options.rate)
    rates = one_cycle(options.rate, options.epochs * training.steps_per_epoch)
    for _ in range(options.epochs):
        training.run_epoch(rates)
    seconds = time.perf_counter() - began
    correct = training.correct(test_images, test_labels)
    print(
        json.dumps(
            {"seconds": seconds, "correct": correct, "images": len(test_labels), "versions": _versions()}
        ),
        flush=True,
    )


def _versions() -> dict[str, str]:
    return {"torch": torch.__version__, "python for torch": platform.python_version()}


def _answer(**values: Any) -> None:
    """Say something, and wait until the next round is asked for."""
    print(json.dumps(values), flush=True)
    if not sys.stdin.readline():
        sys.exit()


def _widths(text: str) -> tuple[int, ...]:
    return tuple(int(width) for width in text.split(","))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--precision", choices=["float32", "mixed_bfloat16"], default="float32")
    commands = parser.add_subparsers(required=True)
    for command in (throughput, train, peak):
        subparser = commands.add_parser(command.__name__)
        subparser.set_defaults(run=command)
        if command is peak:
            continue
        subparser.add_argument("--batch", type=int, default=128)
        subparser.add_argument("--widths", type=_widths, default=(64, 256, 256))
        if command is throughput:
            subparser.add_argument("--images", type=int, default=5120)
        else:
            subparser.add_argument("arrays", type=Path)
            subparser.add_argument("--epochs", type=int, default=15)
            subparser.add_argument("--rate", type=float, default=0.2, help="the highest learning rate")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    arguments.run(arguments)
