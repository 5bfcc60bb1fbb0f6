"""What a stage that has ended tells MLflow, read from what it has written.

The process of the stage calls the same functions as `sync`, which restores the runs of results that DVC
took from its run cache and compares runs with results.
"""
