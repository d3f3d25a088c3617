"""Reading a file's C2PA manifests, whoever wrote them: what they say, and whether it holds."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fsvideo.media.c2palib import MODEL, SETTINGS, Watched, beside, clean, one_line

_UNTRUSTED = "signingCredential.untrusted"


@dataclass(frozen=True)
class Input:
    """A file that another was made from. ``state``: what its own manifest was worth then; "" if it had none."""

    name: str
    state: Literal["valid", "altered", "invalid", ""]


@dataclass(frozen=True)
class Step:
    """One manifest of a file's history. Texts are as the file states them, shortened and printable; "" if it does not.

    ``model``, ``weights``: what fsvideo's own assertion says (network and sha256).
    """

    tool: str
    signer: str
    actions: tuple[str, ...] = ()
    source_types: tuple[str, ...] = ()
    when: str = ""
    model: str = ""
    weights: tuple[tuple[str, str], ...] = ()
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """What a file's manifests say, the newest step first, and whether that can be relied on.

    ``altered``: the file is not what was signed; ``invalid``: the signature or the statement itself is wrong;
    ``unread``: it lies elsewhere on the network, or nobody can tell whether there is one.
    """

    state: Literal["valid", "altered", "invalid", "unread"]
    trusted: bool = False
    problems: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()


def read(path: Path, trust: str = "") -> Manifest | None:
    """A file's manifest, whoever wrote it; None where there is none. ``trust``: PEM of certificates to trust.

    Raises OSError where the file cannot be read.
    """
    import c2pa

    settings = {**SETTINGS, "trust": {"user_anchors": trust, "allowed_list": trust}} if trust else SETTINGS

    def work(stop: threading.Event) -> dict[str, Any]:
        with (
            path.open("rb") as file,
            c2pa.Context.from_dict(settings) as context,
            c2pa.Reader(None, Watched(file, stop), context=context) as reader,
        ):
            store: dict[str, Any] = json.loads(reader.json())
            return store

    try:
        store = beside(work)
    except (c2pa.C2paError.ManifestNotFound, c2pa.C2paError.NotSupported):
        return None
    except c2pa.C2paError as error:
        unread = str(error).startswith(("Remote", "Other", "Io"))
        return Manifest("unread" if unread else "invalid", problems=(one_line(error),))
    failures = _failures(store)
    problems = tuple(clean(f"{text} ({code})") for code, text in failures.items() if code != _UNTRUSTED)
    state = _verdict(failures)
    if state == "valid" and store.get("validation_state") == "Invalid":
        state = "invalid"
    trusted = state == "valid" and _UNTRUSTED not in failures and store.get("validation_state") == "Trusted"
    try:
        return Manifest(state, trusted, problems, tuple(_steps(store)))
    except (AttributeError, IndexError, KeyError, TypeError):  # what is signed may still be nonsense
        return Manifest("invalid", False, (*problems, "its assertions do not have the form of C2PA's"))


def _failures(holder: Mapping[str, Any]) -> dict[str, str]:
    """What was found wrong with a file or an ingredient: C2PA's code and the words for it."""
    results = holder.get("validation_results") or {}
    entries = (results.get("activeManifest") or {}).get("failure") or holder.get("validation_status") or []
    return {str(entry.get("code", "")): str(entry.get("explanation", "")) for entry in entries}


def _verdict(failures: Mapping[str, str]) -> Literal["valid", "altered", "invalid"]:
    codes = failures.keys() - {_UNTRUSTED}
    if any(code.endswith(("mismatch", "missing")) for code in codes):
        return "altered"
    return "invalid" if codes else "valid"


def _steps(store: Mapping[str, Any]) -> Iterator[Step]:
    manifests = store.get("manifests", {})
    waiting, seen = [store.get("active_manifest")], set()
    while waiting:
        label = waiting.pop(0)
        if label in seen or label not in manifests:
            continue
        seen.add(label)
        yield _step(manifests[label])
        waiting += [entry.get("active_manifest") for entry in manifests[label].get("ingredients", [])]


def _step(manifest: Mapping[str, Any]) -> Step:
    data = [(str(entry.get("label", "")), entry.get("data") or {}) for entry in manifest.get("assertions", [])]
    actions = [one for label, body in data if label.startswith("c2pa.actions") for one in body.get("actions", [])]
    ours: dict[str, Any] = next((body for label, body in data if label == MODEL), {})
    signature = manifest.get("signature_info") or {}
    tools = manifest.get("claim_generator_info") or [manifest.get("claim_generator", "")]
    sources = (one.get("digitalSourceType") or one.get("digital_source_type") for one in actions)
    return Step(
        tool=_agent(tools[0]),
        signer=clean(signature.get("common_name") or signature.get("issuer")),
        actions=tuple(clean(one.get("action")) for one in actions),
        source_types=tuple(dict.fromkeys(clean(source) for source in sources if source)),
        when=clean(signature.get("time") or next((one["when"] for one in actions if one.get("when")), "")),
        model=clean(ours.get("name")),
        weights=tuple((clean(one.get("network")), clean(one.get("sha256"))) for one in ours.get("weights", [])),
        inputs=tuple(_input(entry) for entry in manifest.get("ingredients", [])),
    )


def _input(entry: Mapping[str, Any]) -> Input:
    state: Literal["valid", "altered", "invalid", ""] = _verdict(_failures(entry)) if "active_manifest" in entry else ""
    return Input(clean(entry.get("title")), state)


def _agent(value: Any) -> str:
    if isinstance(value, Mapping):
        return clean(f"{value.get('name') or ''} {value.get('version') or ''}")
    return clean(value)
