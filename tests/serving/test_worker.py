"""What a worker replies, without a process."""

import numpy as np

from pipeline.foundation.array_types import Float32, UInt8
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.serving.workers.messages import Job
from pipeline.serving.workers.worker import _LoadedModel, _Worker
from tests.serving.live_server import encoded


class Diverged:
    def predict(self, images: UInt8[np.ndarray, "n h w c"]) -> Float32[np.ndarray, "n k"]:
        return np.full((len(images), 2), np.nan, np.float32)


def test_probabilities_that_json_cannot_express_are_a_defect() -> None:
    model = _LoadedModel(Diverged(), PreprocessingSpec(8, "pad", "rgb", ("a", "b")))
    reply = _Worker(model, max_pixels=64, max_images=1).reply(Job.of_images([encoded(0)]))
    (outcome,) = reply.images
    assert (outcome.status, outcome.reason, reply.data) == (500, "internal error", b"")
    assert outcome.defect.startswith("ValueError at ")
