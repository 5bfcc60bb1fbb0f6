"""The data sets that fetch.dataset names: a table of facts."""

from collections.abc import Mapping

from pipeline.sources.cifar import CifarDataset
from pipeline.sources.digits import DigitsDataset
from pipeline.sources.download import RemoteFile
from pipeline.sources.folders import FolderDataset
from pipeline.sources.idx import IdxDataset
from pipeline.sources.sources import Dataset

_CIFAR = "https://www.cs.toronto.edu/~kriz/"

# The authors' own address (yann.lecun.com/exdb/mnist) refuses most downloads; this copy of the same
# files is the one that PyTorch's torchvision uses. The uncompressed training images have the MD5
# 6bbc9ace898e44ae57da46a324031adb, that of the original.
_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"

# Zalando's own address; it has no HTTPS, which the checksums make up for.
_FASHION_MNIST = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"


def _idx(base: str, name: str, sha256: str) -> RemoteFile:
    return RemoteFile(f"{base}{name}-ubyte.gz", sha256, gzipped=True)


CIFAR10 = CifarDataset(
    origin="CIFAR-10, binary version (Krizhevsky 2009), https://www.cs.toronto.edu/~kriz/cifar.html",
    archive=RemoteFile(
        f"{_CIFAR}cifar-10-binary.tar.gz",
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ),
    class_names="batches.meta.txt",
    subsets={
        "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        "test": ("test_batch.bin",),
    },
    label_bytes=1,
)

DATASETS: Mapping[str, Dataset] = {
    "digits": DigitsDataset(
        origin=(
            "Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998, UCI Machine Learning "
            "Repository), test set, as it comes with scikit-learn"
        ),
    ),
    "cifar10": CIFAR10,
    "cifar100": CifarDataset(
        origin="CIFAR-100, binary version, fine labels (Krizhevsky 2009), https://www.cs.toronto.edu/~kriz/cifar.html",
        archive=RemoteFile(
            f"{_CIFAR}cifar-100-binary.tar.gz",
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        ),
        class_names="fine_label_names.txt",
        subsets={"train": ("train.bin",), "test": ("test.bin",)},
        label_bytes=2,
    ),
    "mnist": IdxDataset(
        origin="MNIST (LeCun, Cortes and Burges 1998), http://yann.lecun.com/exdb/mnist/",
        classes=tuple(str(digit) for digit in range(10)),
        files={
            "train": (
                _idx(
                    _MNIST,
                    "train-images-idx3",
                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                ),
                _idx(
                    _MNIST,
                    "train-labels-idx1",
                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                ),
            ),
            "test": (
                _idx(
                    _MNIST,
                    "t10k-images-idx3",
                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                ),
                _idx(
                    _MNIST,
                    "t10k-labels-idx1",
                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                ),
            ),
        },
    ),
    "fashion_mnist": IdxDataset(
        origin="Fashion-MNIST (Xiao, Rasul and Vollgraf 2017), https://github.com/zalandoresearch/fashion-mnist",
        classes=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        files={
            "train": (
                _idx(
                    _FASHION_MNIST,
                    "train-images-idx3",
                    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                ),
                _idx(
                    _FASHION_MNIST,
                    "train-labels-idx1",
                    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                ),
            ),
            "test": (
                _idx(
                    _FASHION_MNIST,
                    "t10k-images-idx3",
                    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                ),
                _idx(
                    _FASHION_MNIST,
                    "t10k-labels-idx1",
                    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
                ),
            ),
        },
    ),
    "folder": FolderDataset(origin="a folder or archive of images"),
}
