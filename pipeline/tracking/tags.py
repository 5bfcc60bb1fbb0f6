"""Names of the tags that runs, logged models and model versions carry, and what they mean.

Lineage is searched by them, in both directions, so they are part of what the project promises.
"""

KIND = "kind"
"""What a run is: one of the KIND_ values below."""
KIND_EXPERIMENT = "experiment"
"""The parent of all that one DVC experiment, or one reproduction of the workspace, has run."""
KIND_TRAINING = "training"
KIND_TRIAL = "trial"
KIND_EVALUATION = "evaluation"
KIND_SEEDS = "seeds"
"""Mean and standard deviation of a candidate's scores over several seeds."""

STAGE = "stage"
CANDIDATE = "candidate"
NETWORK = "network"
ORIGIN = "origin"
"""The project folder on its machine, as a digest: clones that share a server keep apart."""
RUN_KEY = "run_key"
"""The same for a run that goes on after a kill."""
START_EVENT = "start_event"
"""`<journal>/<number>` of the event that began the run, or of the latest one that continued it."""
EXPERIMENT_KEY = "experiment_key"
"""Of a parent run: digest of origin, experiment, baseline and params; one parent for each."""
NESTED_IN = "mlflow.parentRunId"
"""MLflow's own: id of the run that this one stands below."""
RESUMED = "resumed"
"""How often the run has gone on after a kill."""
FAILURE = "failure"
"""Why a run has failed, or counts as failed although it came to its end."""
BEST_CANDIDATE = "best_candidate"
"""Of an evaluation and of its parent run: the candidate with the highest validation accuracy."""
BEST_MODEL_DIGEST = "best_model_digest"
"""Of a parent run: MODEL_DIGEST of its best candidate, whose scores it shows."""
EXPERIMENT = "experiment"
"""Of a run below a parent run: that one's name. MLflow's web interface groups the trainings by it."""

GIT_COMMIT = "git_commit"
"""HEAD while the run went on."""
GIT_DIRTY = "git_dirty"
"""Whether code or params differed from it: true, false or unknown."""
GIT_CHANGES = "git_changes"
"""JSON list of the paths that differed from it: `["params.yaml"]` where only settings did."""
DVC_EXPERIMENT = "dvc_experiment"
"""The experiment's name."""
DVC_BASELINE = "dvc_baseline"
"""The commit that the experiment started from."""
DVC_COMMIT = "dvc_commit"
"""The experiment's own commit; it exists only after the run, and `sync` adds it."""
DVC_HASH = "dvc_hash"
"""DVC's hash of the stage's main output (`models/<candidate>`) as dvc.lock has it; `sync` adds it."""
INPUTS = "inputs"
"""JSON {path: DVC hash} of the data that the stage read, from the upstream outputs in dvc.lock."""

MODEL_DIGEST = "model_digest"
"""SHA-256 of model.keras."""
DATA_DIGEST = "data_digest"
"""SHA-256 over the arrays that the run used."""
DATA_SOURCE = "data_source"
"""JSON: dataset, location and fingerprint of the source, as data/fetched/source.json has them."""
PARAMS_DIGEST = "params_digest"
ENVIRONMENT_DIGEST = "environment_digest"
"""SHA-256 of requirements.lock."""
PROCESSOR = "processor"
"""The processor's model, as its maker names it."""
CPU_FLAGS = "cpu_flags"
"""Those instruction sets of it that decide rounding, separated by spaces."""
NUMERIC_SETTINGS = "numeric_settings"
"""Environment variables with which a person chooses other kernels, as NAME=value; `default` for none."""
THREADS = "threads"
PYTHON = "python"
TENSORFLOW = "tensorflow"
KERAS = "keras"
NUMPY = "numpy"
"""Versions."""

SEEDS = "seeds"
"""Of a run over seeds: JSON list of the seeds."""
SEED_RUNS = "seed_runs"
"""Of a run over seeds: JSON list of the ids of the runs that it sums up, in the order of the seeds."""

RESTORED = "restored"
"""`true` where nothing was executed: DVC took the stage's outputs from its run cache."""
RESTORED_FROM = "restored_from"
"""Id of the run that executed what was restored, where the store has it."""

LINEAGE = (
    STAGE,
    CANDIDATE,
    NETWORK,
    ORIGIN,
    GIT_COMMIT,
    GIT_DIRTY,
    GIT_CHANGES,
    DVC_EXPERIMENT,
    DVC_BASELINE,
    DVC_COMMIT,
    DVC_HASH,
    INPUTS,
    MODEL_DIGEST,
    DATA_DIGEST,
    DATA_SOURCE,
    PARAMS_DIGEST,
    ENVIRONMENT_DIGEST,
    RESTORED,
    RESTORED_FROM,
)
"""What a logged model and a model version repeat of the run that trained the model."""

PARENT_RUN = "parent_run"
"""Of a model version: id of the parent run of the run that trained the model."""
CLASSES = "classes"
"""JSON list of the class names, by label."""
INPUT_SIZE = "input_size"
"""Height and width of the images that the network sees, pixels."""
COLOR = "color"
"""Of the images that the network sees: rgb or grayscale."""
SIZE_BYTES = "size_bytes"
"""Of model.keras."""
LATENCY_MS = "latency_ms"
"""Median time for one image through mlflow.pyfunc, on the machine that registered the model."""
LATENCY_P99_MS = "latency_p99_ms"
TEST_DIGEST = "test_digest"
"""SHA-256 over the arrays of the test subset that the scores are from."""
REGISTRATION = "registration"
"""Where the run that trained the model keeps its predictions, scores and card: a folder of artifacts."""
EXPORTED = "exported"
"""When the model of a version was last exported, UTC."""
FORMATS = "formats"
"""The formats of a version's model that have passed all checks, separated by spaces."""
DECISION = "decision"
"""What was last decided about a model version: promoted, refused, forced or rolled back."""
DECIDED = "decided"
"""When that was, UTC."""
