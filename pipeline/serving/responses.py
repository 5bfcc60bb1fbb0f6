"""What all answers in JSON have in common.

An answer is an instance of a class: the class is its description in /openapi.json, and FastAPI writes the
instance that a route returns. So the two cannot disagree.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

SECURITY_HEADERS = {
    # Everything the page needs comes from this server; a picture that was just chosen is a blob.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer, whatever goes wrong."""


class Schema(BaseModel):
    model_config = ConfigDict(
        extra="forbid", from_attributes=True, json_schema_serialization_defaults_required=True
    )


class Error(Schema):
    error: str


class ModelName(Schema):
    name: str
    version: int


def error_response(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Response:
    """Every error of this server looks like this, and like TensorFlow Serving's."""
    return Response(Error(error=reason).model_dump_json(), status, headers, "application/json")


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For FastAPI's `responses`: these statuses, and anything else that goes wrong, come with an `Error`."""
    named: tuple[int | str, ...] = (*statuses, "default")
    return {status: {"model": Error} for status in named}


def shell_sample(command: str) -> dict[str, Any]:
    """For FastAPI's `openapi_extra`: a shell command, in which SERVER stands for the address."""
    return {"x-codeSamples": [{"lang": "Shell", "source": command}]}
