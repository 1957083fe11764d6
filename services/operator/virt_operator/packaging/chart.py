"""Writes the Helm chart: charts/kubevirt with the operator's objects as templates. Called by __main__.py.

The objects come from the same builders as kubevirt-operator.yaml, so there is no second copy. Values that differ
between installations are built as placeholders and replaced by template actions.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml
from virt_core.conventions import components, images

from virt_operator.packaging.manifest import PlainDumper
from virt_operator.strategy.operator_objects import operator_objects
from virt_operator.strategy.settings import InstallSettings

_DIGEST = "chart-digest"
_ACTIONS = {
    # In this order: the first ones contain others.
    images.digests_text({components.OPERATOR: _DIGEST}): '{{ include "kubevirt.digests" . }}',
    f"@{_DIGEST}": '{{ include "kubevirt.digest" . }}',
    "chart-namespace": "{{ .Release.Namespace }}",
    "chart-registry": "{{ .Values.registry }}",
    "chart-tag": '{{ include "kubevirt.tag" . }}',
    "chart-pull-policy": "{{ .Values.pullPolicy }}",
}


class _TemplateDumper(PlainDumper):
    """Quotes placeholders, because a namespace may be called 1 or true. values.schema.json refuses quotes in values."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "'" if any(placeholder in value for placeholder in _ACTIONS) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_TemplateDumper.add_representer(str, _text)


def write_chart(
    source: Path,
    folder: Path,
    *,
    registry: str,
    tag: str,
    version: str,
    use_emulation: bool,
    digests: Mapping[str, str] | None = None,
) -> None:
    """Recreate `folder` from `source`, the chart without the operator's objects. `registry`, `tag` and `digests` (by
    image) become the defaults of its values."""
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(source, folder)
    _fill(folder / "Chart.yaml", {"version: 0.0.0": f"version: {version}", 'appVersion: ""': f'appVersion: "{tag}"'})
    values = {'registry: ""': f'registry: "{registry}"'}
    if use_emulation:
        values["useEmulation: false"] = "useEmulation: true"
    if digests:
        lines = (f"  {image}: {digest}\n" for image, digest in sorted(digests.items()))
        values["digests: {}\n"] = "digests:\n" + "".join(lines)
    _fill(folder / "values.yaml", values)
    (folder / "templates" / "operator.yaml").write_text(operator_template(with_digests=bool(digests)))


def operator_template(*, with_digests: bool = False) -> str:
    """The operator's objects as a Helm template, except the namespace: helm stores the release in it, so it exists
    before."""
    _, _, namespace, registry, tag, pull_policy = _ACTIONS
    digests = {components.OPERATOR: _DIGEST} if with_digests else {}
    objects = operator_objects(InstallSettings(namespace, registry, tag, pull_policy, digests=digests))
    in_chart = [body for body in objects if body["kind"] != "Namespace"]
    text = yaml.dump_all(in_chart, Dumper=_TemplateDumper, sort_keys=False, explicit_start=True, width=120)
    text = text.replace("{{", '{{ "{{" }}')
    for placeholder, action in _ACTIONS.items():
        text = text.replace(placeholder, action)
    return text


def _fill(path: Path, lines: dict[str, str]) -> None:
    text = path.read_text()
    for old, new in lines.items():
        if text.count(old) != 1:
            raise ValueError(f"{path}: {old!r} must be there once")
        text = text.replace(old, new)
    path.write_text(text)
