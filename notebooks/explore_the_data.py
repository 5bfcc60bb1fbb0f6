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
# # Explore the data
#
# Before any network is trained: which images are there, how many of each class, and what do the
# networks get to see of them?
#
# Everything happens in a temporary folder that is deleted when the notebook's kernel ends; the project
# itself stays as it is. The images are the handwritten digits that come with scikit-learn, so that
# nothing is downloaded. Run the cells from top to bottom; it takes a few seconds.

# %% [markdown]
# First find the project's folder, wherever this notebook was started: it is the one with `params.yaml`.

# %%
import os
from pathlib import Path

here = Path.cwd()
os.chdir(next(folder for folder in (here, *here.parents) if (folder / "params.yaml").exists()))

# %%
import numpy as np
import pandas as pd
from IPython.display import Image

from pipeline import fetch, preprocess, split
from pipeline.execution.in_process import run_stages, temporary_workspace
from pipeline.foundation.files import read_json
from pipeline.foundation.workspace import SUBSETS
from pipeline.images.arrays import ChannelStatistics, ImageArrays
from pipeline.images.augmentation import augment
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.params.whole import load_params
from pipeline.reporting.house_style import figure_png
from pipeline.reporting.topics.data.figures import class_distribution_figure, image_rows_figure

# %% [markdown]
# ## Three stages
#
# The pipeline is a chain of stages, and every stage is a file in `pipeline/`. Three of them prepare the
# images:
#
# | stage | what it does |
# | --- | --- |
# | `fetch` | gets the images, looks at each of them, and lists them in a catalogue |
# | `split` | decides which are for training, which for validation and which for the test |
# | `preprocess` | brings all of them to one size and saves them as arrays |
#
# What they do follows from `params.yaml`. Any value can be overridden, as `dvc exp run -S` does it.

# %%
workspace = temporary_workspace()
params = load_params(Path("params.yaml"), ["fetch.dataset=digits", "preprocess.image_size=32"])
run_stages(workspace, params, fetch, split, preprocess)

# %% [markdown]
# ## What was fetched
#
# The catalogue has a row for every image: its class, its size, and the SHA-256 sum of its pixels, by which
# equal images are found.

# %%
catalogue = pd.read_csv(workspace.fetched / "catalogue.csv", dtype={"name": str, "class": str})
catalogue[["id", "name", "class", "width", "height", "pixels_sha256"]].head()

# %% [markdown]
# ## How it was split
#
# A network learns from the *training* images. The *validation* images tell which setting works best, and the
# *test* images, which nobody looks at before the end, how good the result really is. Copies of one image
# never end up in two subsets: that would be like handing out the exam beforehand.

# %%
read_json(workspace.split_metrics)["duplicates"]

# %%
spec = PreprocessingSpec.load(workspace.arrays / "preprocessing.json")
subsets = {name: ImageArrays.load(workspace.arrays / name) for name in SUBSETS}
counts = {name: np.bincount(subset.labels, minlength=len(spec.classes)) for name, subset in subsets.items()}
Image(figure_png(class_distribution_figure(counts, spec.classes)), width=520)

# %% [markdown]
# Are the classes about equally frequent? If one is rare, a network can get far by ignoring it; then
# accuracy alone says little, and `train_baseline.class_weights: balanced` may help.

# %% [markdown]
# ## What the networks see
#
# All images are brought to one size. These are the numbers that a network gets: 0 is black, 255 is white.

# %%
subsets["train"].images.shape, spec.image_size, spec.color, spec.resize

# %%
train = subsets["train"]
rows = [
    (name, train.images[np.flatnonzero(train.labels == label)[:8]]) for label, name in enumerate(spec.classes)
]
Image(figure_png(image_rows_figure(rows, "Images of the training subset")), width=520)

# %% [markdown]
# Look closely: could you name all of them? What you cannot tell apart, a network will confuse as well.

# %% [markdown]
# ## What augmentation does
#
# Each time a network sees a training image, it is changed a little at random, so that it learns what does
# not matter. Below, each row begins with the image as it is. Change the numbers and run the cell again:
# would *you* still recognize the digits?

# %%
stronger = load_params(
    Path("params.yaml"), ["augmentation.shift=0.15", "augmentation.rotation=20", "augmentation.cutout=0.25"]
)
statistics = ChannelStatistics.load(workspace.arrays / "statistics.json")
images = train.images[:4]
targets = np.eye(len(spec.classes), dtype=np.float32)[train.labels[:4]]
random = np.random.default_rng(0)
changed = [images] + [
    augment(images, targets, stronger.augmentation, statistics.mean, random)[0] for _ in range(7)
]
rows = [
    (spec.classes[label], variants)
    for label, variants in zip(train.labels[:4], np.stack(changed, axis=1), strict=True)
]
Image(figure_png(image_rows_figure(rows, "As it is, and seven times changed")), width=520)

# %% [markdown]
# ## Where to go from here
#
# - `train_and_compare.ipynb` trains networks on these images and asks which one is best.
# - `your_own_folder.ipynb` does the same with images of yours.
# - To look at the data of your last run instead of the digits, put
#   `workspace = Workspace.from_environment()` (from `pipeline.foundation.workspace`) in place of
#   `temporary_workspace()` and leave `run_stages` out.
