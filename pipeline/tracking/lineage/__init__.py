"""Where a model comes from, and what a commit or experiment has made.

MLflow knows runs and model versions; git and DVC know code, experiments and the hashes of outputs. All are
searched by the tags that every run carries (`tags`), so that they find each other also on a machine that
has neither DVC's cache nor the folder that the model was trained in.
"""
