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
# # Use your own folder
#
# All that is needed is a folder with a subfolder for every class:
#
# ```
# pets/
#   cat/  tom.jpg  felix.png  ...
#   dog/  rex.jpg  ...
# ```
#
# From a few dozen images of each class on it is worth a try. Everything happens in a temporary folder; your
# images are only read, and the project stays as it is. It takes about a minute.

# %%
import os
from pathlib import Path

here = Path.cwd()
os.chdir(next(folder for folder in (here, *here.parents) if (folder / "params.yaml").exists()))

# %%
import pandas as pd
from IPython.display import Image

from pipeline import evaluate, fetch, preprocess, report, split, train_baseline, train_transfer, tune
from pipeline.execution.in_process import run_stages, temporary_workspace
from pipeline.images.arrays import ImageArrays
from pipeline.params.whole import load_params
from pipeline.reporting.house_style import figure_png
from pipeline.reporting.results import RunResults
from pipeline.reporting.topics.comparison.accuracy import choice, on_test_images
from pipeline.reporting.topics.comparison.classes import hardest_and_easiest
from pipeline.reporting.topics.data.figures import image_rows_figure
from pipeline.sources.example_folder import write_example_folder
from pipeline.training.trained_model import TrainedModel

# %% [markdown]
# ## Your images
#
# Put the path of your folder in place of the example, which is made here.

# %%
workspace = temporary_workspace()
images = workspace.root / "example_images"
write_example_folder(images)
# images = Path("~/Pictures/pets").expanduser()

sorted(folder.name for folder in images.iterdir())

# %% [markdown]
# ## Settings
#
# Your images may have any size; here all are brought to 32×32 pixels, which is quick. For photographs take
# 192, turn `augmentation.horizontal_flip` on, and let `train_transfer.backbone` be `EfficientNetLite0`, as
# `make folder` does.

# %%
params = load_params(
    Path("params.yaml"),
    [
        "fetch.dataset=folder",
        f"fetch.location={images}",
        "preprocess.image_size=32",
        "augmentation.horizontal_flip=false",
        "batch_size=16",
        "lr=0.05",
        "train_baseline.widths=[16, 32, 32]",
        "train_baseline.epochs=8",
        "train_transfer.head_epochs=2",
        "train_transfer.fine_tune_epochs=3",
        "tune.max_trials=2",
        "tune.trial_epochs=3",
        "tune.epochs=8",
        "tune.space.batch_size.values=[16]",
        "tune.space.lr.max=0.2",
    ],
)

# %% [markdown]
# ## Are they readable, and how many are there?
#
# What cannot be read is left out and listed with the reason.

# %%
run_stages(workspace, params, fetch, split, preprocess)
pd.read_csv(workspace.fetched / "rejected.csv")

# %% [markdown]
# ## Train, and look at the result

# %%
run_stages(workspace, params, train_baseline, train_transfer, tune, evaluate)

# %%
results = RunResults.load(workspace)
print(choice(results))
print(on_test_images(results.winner, params.evaluate.confidence))
print(hardest_and_easiest(results.winner))

# %% [markdown]
# ## Ask it about an image
#
# A network is saved together with the way in which images are prepared for it, so that any image file can be
# put to it.

# %%
model = TrainedModel.load(workspace.model(results.winner.name))
file = sorted(path for path in images.glob("*/*") if path.suffix.lower() in {".png", ".jpg", ".jpeg"})[0]
pixels = model.card.preprocessing.apply(file.read_bytes())
probabilities = model.predict(pixels[None], batch_size=1)[0]
pd.Series(probabilities, index=model.card.preprocessing.classes, name=file.name).sort_values(ascending=False)

# %% [markdown]
# ## Where is it wrong?

# %%
test = ImageArrays.load(workspace.arrays / "test")
wrong = ~results.winner.predictions.right
rows = [(results.class_names[test.labels[row]], test.images[[row]]) for row in wrong.nonzero()[0][:5]]
rows = rows or [("none is wrong", test.images[:1])]
Image(figure_png(image_rows_figure(rows, "Test images that it gets wrong, with their class")), width=320)

# %% [markdown]
# ## The report
#
# A page, a PDF and slides, as `make repro` writes them. They lie in the temporary folder; copy what you want
# to keep.

# %%
run_stages(workspace, params, report)
sorted(file.name for file in workspace.report.iterdir())

# %% [markdown]
# ## For good
#
# In the project, with everything recorded and reproducible:
#
# ```
# make folder LOCATION=~/Pictures/pets     # all stages on your images
# python -m pipeline export                # files for phones, servers and other runtimes
# python -m pipeline predict photo.jpg     # what an image shows
# python -m pipeline serve                 # a web page and a REST API
# ```
