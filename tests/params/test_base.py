"""What every section of params.yaml shares."""

from pipeline.params.base import flattened


def test_nested_params_get_dotted_names() -> None:
    assert list(flattened({"lr": 0.1, "a": {"b": {"c": 1}, "d": []}, "e": {}})) == [
        ("lr", 0.1),
        ("a.b.c", 1),
        ("a.d", []),
        ("e", {}),
    ]
