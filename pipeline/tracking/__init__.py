"""Records runs and delivers them to MLflow; the only floor that imports mlflow.

A stage writes what it records into a journal below the project's root (`journal`) and never waits
for MLflow. A process of its own reads the journal while the stage runs and delivers it; what it could
not deliver, `sync` delivers later. What MLflow then knows is read by `runs` and `lineage`; `registry`
keeps the registered model and why its champion is its champion.
"""
