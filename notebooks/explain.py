# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Explain
#
# A network says *what* an image shows. Here we ask *why*: which places of the image spoke for the answer,
# what its layers respond to, and which images it finds alike.
#
# Everything happens in a temporary folder; the project stays as it is. It takes about half a minute.

# %%
import os
from pathlib import Path

here = Path.cwd()
os.chdir(next(folder for folder in (here, *here.parents) if (folder / "params.yaml").exists()))

# %%
from IPython.display import Image

from pipeline import fetch, preprocess, split, train_baseline
from pipeline.execution.in_process import run_stages, temporary_workspace
from pipeline.explanation.candidates import explain_candidates
from pipeline.images.arrays import ImageArrays
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.params.whole import load_params
from pipeline.reporting.house_style import figure_png
from pipeline.reporting.topics.explanations.features import (
    feature_maps_figure,
    feature_space_figure,
    filters_figure,
)
from pipeline.reporting.topics.explanations.heatmaps import heatmaps_figure
from pipeline.scoring.predictions import Predictions
from pipeline.training.trained_model import TrainedModel

# %% [markdown]
# ## A network to ask
#
# A short training on the handwritten digits is enough. To ask a network of your own last run instead, use
# `Workspace.from_environment()` (from `pipeline.foundation.workspace`) and leave `run_stages` out.

# %%
workspace = temporary_workspace()
params = load_params(
    Path("params.yaml"),
    [
        "fetch.dataset=digits",
        "train_baseline.network=fast_cnn",
        "train_baseline.epochs=6",
        "evaluate.heatmap_layer=auto",
        "evaluate.feature_layers=[]",
    ],
)
run_stages(workspace, params, fetch, split, preprocess, train_baseline)

# %%
classes = PreprocessingSpec.load(workspace.arrays / "preprocessing.json").classes
test = ImageArrays.load(workspace.arrays / "test")
model = TrainedModel.load(workspace.model("baseline"))
predictions = Predictions(model.predict(test.images, params.evaluate.batch_size), test.labels, test.ids)
print(f"{predictions.right.sum()} of {len(predictions)} test images right")

# %% [markdown]
# ## Ask it
#
# Everything below is computed here; the rest only draws it.

# %%
explanations = explain_candidates(
    {"baseline": model.network}, {"baseline": predictions}, test.images, params.evaluate, params.seed
)["baseline"]

# %% [markdown]
# ## Heatmaps: which places spoke for the answer
#
# A convolutional layer keeps a coarse map of the image. A heatmap weighs what stands in this map by how
# much it raises the score of the predicted class (Grad-CAM, Selvaraju et al. 2017, and its refinement
# HiResCAM). Warm colors: these places spoke for the answer.
#
# Look at the mistakes: does the warm place hold what misled the network?

# %%
Image(figure_png(heatmaps_figure(test.images, predictions, explanations, classes, "Heatmaps")), width=760)

# %% [markdown]
# ## Filters: what the first layer responds to
#
# Each little square is a pattern; the first layer tells, for every place of the image, how much of each
# pattern is there. Edges and spots are typical.

# %%
filters = explanations.filters
assert filters is not None, "a network without convolutions has no filters"
Image(figure_png(filters_figure(filters, "Filters of the first convolution")), width=760)

# %% [markdown]
# ## Feature maps: the image on its way through the network
#
# The first rows still look like the image; the deeper a layer, the coarser its maps, and the more they
# answer what matters for the class.

# %%
image = test.images[explanations.feature_rows[0]]
maps = {layer: of_images[0] for layer, of_images in explanations.feature_maps.items()}
Image(figure_png(feature_maps_figure(image, maps, "One image, layer by layer")), width=760)

# %% [markdown]
# ## A map of the images as the network sees them
#
# Before it decides, the network describes every image by a list of numbers. t-SNE draws images with similar
# numbers near each other. Groups that touch are classes that the network finds alike; distances between far
# groups mean nothing.

# %%
shown = explanations.map_rows
Image(
    figure_png(
        feature_space_figure(
            explanations.tsne,
            predictions.labels[shown],
            predictions.right[shown],
            classes,
            "The test images by t-SNE",
            ("", ""),
        )
    ),
    width=520,
)

# %% [markdown]
# ## Be careful
#
# A heatmap says where a network looks, not what it sees there, and not whether it would still be right
# without it. Explanations are a reason to look closer, not a proof.
#
# `python -m pipeline explain photo.jpg` does the same for a single image.
