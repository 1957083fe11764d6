"""Bodies of subresources are JSON or YAML, whatever their content type says; what is not understood is named."""

from __future__ import annotations

import pytest
from virt_api.errors import BadRequest
from virt_api.subresources.lifecycle_requests import LifecycleOptions, options_of
from virt_api.subresources.request_body import DEEPEST_YAML, LARGEST_YAML, document_of


@pytest.mark.parametrize("body", [b"", b"  \n", b"{}", b"null", b"# nothing\n", b"---\n", b"{}\n"])
@pytest.mark.parametrize("verb", ["start", "stop", "restart"])
def test_a_body_may_be_absent_or_empty(verb: str, body: bytes) -> None:
    assert options_of(verb, body) == LifecycleOptions()


@pytest.mark.parametrize(
    ("verb", "body", "options"),
    [
        ("start", b'{"paused": true}', LifecycleOptions(paused=True)),
        ("start", b"paused: true\ndryRun:\n- All\n", LifecycleOptions(["All"], paused=True)),
        ("start", b'{paused: true, dryRun: ["All"]}', LifecycleOptions(["All"], paused=True)),
        ("stop", b"gracePeriod: 0\n", LifecycleOptions(grace_period=0)),
        ("stop", b' {"gracePeriod": 30}', LifecycleOptions(grace_period=30)),
        (
            "restart",
            b"apiVersion: v1\nkind: RestartOptions\ngracePeriodSeconds: 0\n",
            LifecycleOptions(None, False, None, 0),
        ),
    ],
)
def test_a_body_is_json_or_yaml(verb: str, body: bytes, options: LifecycleOptions) -> None:
    assert options_of(verb, body) == options


@pytest.mark.parametrize(
    ("verb", "body", "words"),
    [
        ("start", b'{"paused": "yes"}', "^paused: the body of start is not understood: Expected `bool`, got `str`"),
        ("start", b"paused: perhaps", "^paused: .*Expected `bool`, got `str`"),
        ("start", b"paused: 2026-01-01", "^paused: .*Expected `bool`"),
        ("stop", b'{"gracePeriod": "30"}', "^gracePeriod: .*Expected `int"),
        ("stop", b'{"gracePeriod": -1}', "gracePeriod: -1 is not allowed, use 0 or more"),
        ("stop", b"gracePeriodSeconds: 0", "gracePeriodSeconds: stop has no such option, use dryRun or gracePeriod"),
        ("restart", b'{"gracePeriodSeconds": 30}', "For force restart, only gracePeriod=0 is supported for now"),
        ("restart", b'{"dryRun": "All"}', r"^dryRun: .*Expected `array"),
        ("restart", b'{"dryRun": [1]}', r"^dryRun\[0\]: .*Expected `str`, got `int`"),
        ("restart", b'{"dryRun": ["Some"]}', "dryRun: 'Some' is not allowed, use All"),
        ("start", b"{", "the body of start is not understood, use JSON or YAML"),
        ("start", b'{"paused"', "use JSON or YAML"),
        ("start", b"[]", "use an object in JSON or YAML"),
        ("start", b"paused", "use an object in JSON or YAML"),
        ("start", b"1: 2", "use an object in JSON or YAML"),
        ("start", b"a: &a [1]\n? *a\n: 1", "use JSON or YAML"),
        ("start", b"\xff\xfe\x00", "use JSON or YAML"),
        ("start", b"!!python/object/apply:os.system [id]", "use JSON or YAML"),
        ("start", b"a: 1\n---\nb: 2\n", "use JSON or YAML"),
        ("start", b"a: " + b"[" * 4096, f"use JSON or YAML: more than {DEEPEST_YAML} of"),
        ("start", b"- " * 4096, "use JSON or YAML: maximum recursion depth"),
        ("stop", b"gracePeriod: &a 0\ndryRun: [*a]", "use JSON or YAML: aliases are not allowed in .* line 2"),
        ("start", b'{"a":' + b"[" * 100_000, "use JSON or YAML"),
    ],
)
def test_what_is_not_understood_is_named(verb: str, body: bytes, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        options_of(verb, body)


def test_much_yaml_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(BadRequest, match=f"{LARGEST_YAML} are allowed as YAML, and it is not JSON"):
        document_of("expand-vm-spec", b"a: b\n" * LARGEST_YAML)


def test_aliases_that_would_multiply_are_refused_before_they_do() -> None:
    lines = [
        b"a0: &a0 {x: 1}",
        *(b"a%d: &a%d {<<: [%s]}" % (i, i, b",".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 9)),
    ]
    with pytest.raises(BadRequest, match="aliases are not allowed"):
        document_of("start", b"\n".join(lines))


def test_a_text_as_deep_as_allowed_is_read() -> None:
    deep = b"a: " + b"[" * DEEPEST_YAML + b"]" * DEEPEST_YAML
    assert list(document_of("start", b"# YAML\n" + deep)) == ["a"]
