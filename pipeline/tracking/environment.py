"""How the environment in which something was made differs from the one that is here."""

import json
import platform
import re
from collections import defaultdict
from collections.abc import Mapping

from pipeline.tracking import tags
from pipeline.tracking.provenance import installed_version, machine_tags

_REQUIREMENT = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", re.MULTILINE)
_COMPARED = (
    tags.PROCESSOR,
    tags.NUMERIC_SETTINGS,
    tags.THREADS,
    tags.PYTHON,
    tags.TENSORFLOW,
    tags.KERAS,
    tags.NUMPY,
)


def machine_differences(recorded: Mapping[str, str], params: Mapping[str, object]) -> list[str]:
    """What differs between the tags of a run and this machine, in words; what is not recorded, does not.

    `params` are those of the reproduction: their threads are what it may use.
    """
    here = machine_tags(params)
    differences = [
        f"{name}: {recorded[name]} there, {here[name]} here"
        for name in _COMPARED
        if recorded.get(name) and here.get(name) and recorded[name] != here[name]
    ]
    if recorded.get(tags.CPU_FLAGS):
        there, own = set(recorded[tags.CPU_FLAGS].split()), set(here[tags.CPU_FLAGS].split())
        for flags, where in ((there - own, "there"), (own - there, "here")):
            differences += [f"instruction sets only {where}: {' '.join(sorted(flags))}"] if flags else []
    return differences


def card_differences(card_text: str) -> list[str]:
    """What differs between the versions in a model's card.json and those that are installed."""
    try:
        versions: dict[str, str] = json.loads(card_text)["versions"]
    except (ValueError, KeyError, TypeError):
        return []
    return [
        f"{name}: {version} there, {here or 'not installed'} here"
        for name, version in versions.items()
        if version != (here := _version_here(name))
    ]


def _version_here(name: str) -> str | None:
    if name == "python":
        return ".".join(platform.python_version_tuple()[:2])  # as cards have it
    return installed_version(name) or installed_version(f"{name}-cpu")


def requirement_differences(requirements: str) -> list[str]:
    """Which installed packages have another version than a requirements.lock pins, in words.

    Packages that are not installed are passed over: they are for other systems.
    """
    pinned = defaultdict(set)
    for name, version in _REQUIREMENT.findall(requirements):
        pinned[name].add(version)  # one for each system or Python, where they differ
    return [
        f"{name} {' or '.join(sorted(versions))} there, {here} here"
        for name, versions in pinned.items()
        if (here := installed_version(name)) and here not in versions
    ]
