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
# # Train and compare
#
# Three networks learn to read handwritten digits. Which is best, by how much, and could it have been luck?
# Then one setting is changed and compared with the first.
#
# Everything happens in a temporary folder; the project stays as it is. With the short trainings below it
# takes a minute or two.

# %%
import os
from pathlib import Path

here = Path.cwd()
os.chdir(next(folder for folder in (here, *here.parents) if (folder / "params.yaml").exists()))

# %%
import pandas as pd
from IPython.display import Image

from pipeline import evaluate, fetch, preprocess, split, train_baseline, train_transfer, tune
from pipeline.execution.in_process import run_stages, temporary_workspace
from pipeline.images.arrays import ImageArrays
from pipeline.params.whole import load_params
from pipeline.reporting.house_style import figure_png
from pipeline.reporting.results import History, RunResults
from pipeline.reporting.topics.comparison.accuracy import choice, on_test_images
from pipeline.reporting.topics.mistakes.figures import confusion_matrix_figure
from pipeline.reporting.topics.training.figures import training_curves_figure, validation_accuracy_figure
from pipeline.scoring.intervals import Bootstrap
from pipeline.scoring.paired import compare
from pipeline.scoring.predictions import Predictions
from pipeline.scoring.scores import confusion_matrix
from pipeline.training.trained_model import TrainedModel

# %% [markdown]
# ## Settings
#
# `params.yaml` holds every value that decides what is computed. Here the trainings are made short; as they
# stand in the file, they reach more.

# %%
short = [
    "fetch.dataset=digits",
    "lr=0.2",
    "train_baseline.epochs=5",
    "train_baseline.early_stopping_patience=null",
    "train_transfer.head_epochs=2",
    "train_transfer.fine_tune_epochs=2",
    "tune.max_trials=2",
    "tune.trial_epochs=1",
    "tune.epochs=5",
]
params = load_params(Path("params.yaml"), short)
params.train_baseline

# %% [markdown]
# ## Train
#
# - **baseline** learns from nothing but these images;
# - **transfer** starts from a network that has learned from other images;
# - **tuned** is the baseline's network with the setting that a search finds best.
#
# In each epoch a network sees every training image once.

# %%
workspace = temporary_workspace()
run_stages(workspace, params, fetch, split, preprocess, train_baseline, train_transfer, tune)

# %% [markdown]
# ## Evaluate
#
# All of them answer for the validation images, by which the best one is chosen, and for the test images,
# which tell how good it is.

# %%
run_stages(workspace, params, evaluate)
results = RunResults.load(workspace)
print(choice(results))
print(on_test_images(results.winner, params.evaluate.confidence))

# %%
pd.DataFrame({candidate.name: vars(candidate.test) for candidate in results.candidates}).T[
    ["accuracy", "accuracy_low", "accuracy_high", "f1_macro", "log_loss", "ece"]
]

# %% [markdown]
# `accuracy_low` and `accuracy_high` are the ends of an interval: with other test images the accuracy could
# have come out anywhere in between. Where the intervals overlap widely, do not read much into a small lead.

# %%
histories = {candidate.name: candidate.history for candidate in results.candidates}
Image(figure_png(validation_accuracy_figure(histories)), width=520)

# %% [markdown]
# ## Does it learn by heart?
#
# A network that is far better on its training images than on others *overfits*. One that is poor on both has
# not learned enough.

# %%
winner = results.winner
best_epoch = winner.card.training.best_epoch
Image(figure_png(training_curves_figure(winner.history, best_epoch, winner.name)), width=380)

# %% [markdown]
# ## What is taken for what?

# %%
matrix = confusion_matrix(winner.predictions["test"])
Image(figure_png(confusion_matrix_figure(matrix, results.class_names, winner.name)), width=560)

# %% [markdown]
# ## Change one thing
#
# Never change two things at once: you would not know which of them helped. Here the learning rate of the
# baseline is made ten times smaller, and everything else stays.

# %%
slower = load_params(Path("params.yaml"), [*short, "lr=0.02"])
other = temporary_workspace()
run_stages(other, slower, fetch, split, preprocess, train_baseline)

# %%
first, second = (History.load(place.model("baseline") / "history.csv") for place in (workspace, other))
pd.DataFrame(
    {"lr 0.2": first.val_accuracy, "lr 0.02": second.val_accuracy}, index=pd.Index(first.epochs, name="epoch")
)

# %% [markdown]
# Is the difference more than chance? Only the images count on which exactly one of the two is right.
# McNemar's test asks how easily chance alone would divide them so unevenly: the smaller `p_value`, the less
# easily. Settings are compared on the validation images; the test images are for the end.

# %%
validation = ImageArrays.load(workspace.arrays / "validation")
answers = [
    Predictions(
        TrainedModel.load(place.model("baseline")).predict(validation.images, params.evaluate.batch_size),
        validation.labels,
        validation.ids,
    )
    for place in (workspace, other)
]
compare(*answers, Bootstrap(params.evaluate.bootstrap_samples, params.evaluate.confidence, params.seed))

# %% [markdown]
# ## The same from the command line
#
# In the project itself DVC runs only what has changed and keeps every result, and MLflow records each
# training:
#
# ```
# make repro                          # run what is not up to date; writes metrics/report
# dvc exp run -S lr=0.02              # the same with one value changed
# python -m pipeline runs             # all trainings in one table
# make ui                             # look at them in a browser
# ```
#
# `explain.ipynb` shows what a trained network looks at.
