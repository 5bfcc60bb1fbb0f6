"""Records runs and delivers them to MLflow; the only floor that imports mlflow.

A stage writes what it records into a journal below the project's root (`recording`) and never waits
for MLflow. A process of its own (`delivery`) reads the journal while the stage runs and delivers it;
what it could not deliver, `sync` delivers later.
"""
