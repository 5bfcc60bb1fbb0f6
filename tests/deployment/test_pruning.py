"""Which weights become zero, and that they stay so while the others learn."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf

from pipeline.deployment.pruning import kept, kernels, prune
from pipeline.foundation.workspace import Workspace
from pipeline.params.export import ExportParams
from pipeline.training.data import TrainingData
from pipeline.training.trained_model import TrainedModel


@pytest.fixture
def network(trained_project: Workspace) -> Iterator[TrainedModel]:
    """A network of one's own, to be changed; without compiling, which takes longer than all steps."""
    tf.config.run_functions_eagerly(True)
    yield TrainedModel.load(trained_project.model("baseline"))
    tf.config.run_functions_eagerly(False)


def params(sparsity: float) -> ExportParams:
    return ExportParams(
        max_accuracy_loss=0.0,
        max_lost_images=0,
        calibration_images=1,
        sparsity=sparsity,
        pruning_epochs=2,
        pruning_lr=0.01,
    )


@pytest.mark.parametrize(
    ("kernel", "sparsity", "expected"),
    [
        ([[3.0, -1.0], [0.5, -4.0]], 0.5, [[1, 0], [0, 1]]),
        ([[3.0, -1.0], [0.5, -4.0]], 0.75, [[0, 0], [0, 1]]),
        ([[2.0, -2.0], [2.0, 2.0]], 0.5, [[0, 0], [1, 1]]),  # of equal ones just as many
    ],
)
def test_the_smallest_magnitudes_go(
    kernel: list[list[float]], sparsity: float, expected: list[list[int]]
) -> None:
    np.testing.assert_array_equal(kept(np.array(kernel, np.float32), sparsity), expected)


def test_zeros_stay_zero_while_the_rest_is_fitted(
    network: TrainedModel, trained_project: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {kernel.path: kernel.numpy() for kernel in kernels(network.network)}
    data = TrainingData.load(trained_project.arrays)
    prune(network.network, network.card, data, params(0.6))

    assert re.findall(r"pruning epoch (./.)", capsys.readouterr().out) == ["1/2", "2/2"]
    assert len(before) == 5  # two convolutions in each of two blocks, and the classifier
    for kernel in kernels(network.network):
        now, largest = kernel.numpy(), np.abs(before[kernel.path])
        assert (now == 0).sum() == round(0.6 * now.size), kernel.path
        assert largest[now != 0].min() >= largest[now == 0].max()
        assert np.abs(now - before[kernel.path])[now != 0].max() > 0  # the others have learned


def test_fine_tuning_makes_up_for_what_is_lost(network: TrainedModel, trained_project: Workspace) -> None:
    data = TrainingData.load(trained_project.arrays)
    validation = data.validation

    def loss() -> float:
        probabilities = network.predict(validation.images, 64)
        return float(-np.log(probabilities[np.arange(len(validation)), validation.labels]).mean())

    for kernel in kernels(network.network):
        kernel.assign(kernel.numpy() * kept(kernel.numpy(), 0.8))
    only_cut = loss()
    prune(network.network, network.card, data, params(0.8))
    assert loss() < only_cut


def test_what_does_not_learn_is_left_alone(network: TrainedModel, trained_project: Workspace) -> None:
    whitening = network.network.get_layer("whitening").get_weights()[0]
    data = TrainingData.load(trained_project.arrays)
    prune(network.network, network.card, data, params(0.5))
    np.testing.assert_array_equal(network.network.get_layer("whitening").get_weights()[0], whitening)
