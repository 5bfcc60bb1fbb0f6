"""Commands that run the pipeline, here or elsewhere."""
