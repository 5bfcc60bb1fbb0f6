"""A LiteRT file behind LitServe, as its guide has it; imports nothing of this project.

SERVED_FILE=... SERVED_CLASSES=... SERVED_WORKERS=2 python benchmarks/litserve_server.py PORT
"""

import os
import sys

import litserve
from fastapi import Request
from litert_classifier import WORKERS, Classifier


class Api(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self._classifier = Classifier()

    def decode_request(self, request: Request) -> bytes:
        data: bytes = request["file"].file.read()
        return data

    def predict(self, data: bytes) -> dict[str, float]:
        probabilities: dict[str, float] = self._classifier.classify_file(data)
        return probabilities

    def encode_response(self, output: dict[str, float]) -> dict[str, float]:
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=int(os.environ[WORKERS]))
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False)
