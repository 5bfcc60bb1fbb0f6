"""The server's metrics for Prometheus, without anything that was uploaded."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from pipeline.serving.served_model import ServedModel

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_CONFIDENCES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


class Metrics:
    """In a registry of its own, so that two servers in one process do not mix theirs."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self.requests = Counter(
            "pipeline_requests", "Requests answered", ("route", "method", "status"), registry=self._registry
        )
        self.seconds = Histogram(
            "pipeline_request_seconds",
            "From the head of a request to the end of its answer",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.predictions = Counter(
            "pipeline_predictions", "Images by predicted class", ("predicted",), registry=self._registry
        )
        self.confidence = Histogram(
            "pipeline_confidence",
            "Probability of the predicted class",
            buckets=_CONFIDENCES,
            registry=self._registry,
        )
        self.refused_images = Counter(
            "pipeline_refused_images", "Images that were not classified", ("status",), registry=self._registry
        )
        self.replaced_workers = Counter(
            "pipeline_replaced_workers", "Workers that died or took too long", registry=self._registry
        )
        self._model = Gauge(
            "pipeline_model",
            "1 for the model that answers",
            ("name", "version", "candidate", "network", "format", "digest"),
            registry=self._registry,
        )

    def count_prediction(self, name: str, confidence: float) -> None:
        self.predictions.labels(name).inc()
        self.confidence.observe(confidence)

    def show_model(self, model: ServedModel) -> None:
        exported = model.exported
        self._model.clear()
        self._model.labels(
            exported.name,
            str(exported.version),
            exported.candidate,
            exported.network,
            model.format_name,
            exported.model_digest,
        ).set(1)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)
