"""Explains images as a process of its own: probabilities and heatmaps.

python -m pipeline.explanation.process JOB.json RESULT.json
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from pipeline.explanation.heatmaps import AUTO, Heatmaps, named_layer
from pipeline.explanation.job import ExplainJob, ExplainResult
from pipeline.explanation.opened_network import OpenedNetwork
from pipeline.images.parallel import with_progress
from pipeline.processes.child_process import do_job
from pipeline.scoring.predictions import require_finite
from pipeline.training.trained_model import TrainedModel

_IMAGES_AT_ONCE = 64


def explain(job: ExplainJob) -> ExplainResult:
    """Probabilities and heatmaps of a job's images. Raises PipelineError."""
    model = TrainedModel.load(job.model)
    network = OpenedNetwork(model.network)
    if job.layer != AUTO and named_layer(network, job.layer) is None:
        print(f"the network has no layer '{job.layer}' that returns a map: choosing one", flush=True)
    heatmaps = Heatmaps(network, job.method, job.layer)
    images = np.load(job.images, mmap_mode="r")[: job.count]
    answers, heat = [], []
    starts = range(0, len(images), _IMAGES_AT_ONCE)
    for start in with_progress(starts, len(starts), f"explained, batches of {_IMAGES_AT_ONCE} images"):
        part = images[start : start + _IMAGES_AT_ONCE]
        answers.append(require_finite(model.predict(part, job.batch_size), str(job.model)))
        wanted = answers[-1].argmax(axis=1) if job.label is None else np.full(len(part), job.label)
        heat.append(heatmaps.compute(part, wanted, "batches of heatmaps"))
    return ExplainResult(heatmaps.method, heatmaps.layer, np.concatenate(answers), np.concatenate(heat))


def _do(job: ExplainJob, result: Path) -> None:
    # Before its first operation, when TensorFlow makes its pools.
    tf.config.threading.set_intra_op_parallelism_threads(job.threads)
    tf.config.threading.set_inter_op_parallelism_threads(job.threads)
    explain(job).save(job, result)


if __name__ == "__main__":
    sys.exit(do_job(ExplainJob.load, _do))
