"""A host recognises its own claims by boot id and PID namespace, not by its name."""

import json
import os
from dataclasses import replace
from typing import Any

import pytest

from asrnn_bench.jobs import attempts
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.machine.hosts import FIRST_NAMESPACE, Host, boot_id

HERE = Host("a-host", "boot-1", FIRST_NAMESPACE, "machine-1")
CLAIM = {**HERE.claim(), "pid": 7, "started": "boot-1 99"}
INSIDE = "pid:[4026532000]"


@pytest.mark.parametrize(
    ("changed", "sight"),
    [
        ({}, "here"),
        ({"host": "another-name"}, "here"),  # a container that was renamed
        ({"namespace": INSIDE}, "elsewhere"),  # docker run --network host
        ({"started": "boot-2 99"}, "gone"),  # the machine was started anew
        ({"started": "boot-2 99", "host": "another-host"}, "elsewhere"),
        ({"started": "boot-2 99", "machine": "machine-2"}, "elsewhere"),
        ({"started": "boot-2 99", "namespace": INSIDE}, "elsewhere"),
        ({"started": None}, "here"),
        ({"namespace": 7}, "here"),
        ({"namespace": None, "host": "another-host"}, "elsewhere"),
    ],
)
def test_a_claim_is_seen_by_boot_and_namespace(changed: dict[str, Any], sight: str) -> None:
    assert HERE.sees({**CLAIM, **changed}) == sight


def test_a_container_without_a_machine_id_is_never_the_same_machine_started_anew() -> None:
    here = replace(HERE, machine="")
    assert here.sees({**CLAIM, "machine": None, "started": "boot-2 99"}) == "elsewhere"


def test_a_claim_of_an_older_version_is_read_by_its_host_name() -> None:
    assert HERE.sees({"host": "a-host", "pid": 7, "started": "boot-2 99"}) == "here"
    assert HERE.sees({"host": "b-host", "pid": 7, "started": "boot-1 99"}) == "elsewhere"


def test_a_living_attempt_of_another_namespace_is_believed_and_not_superseded(
    directories: list[JobDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = directories[0].claim()
    claim = json.loads((attempt.path / "claim.json").read_text())
    assert claim["namespace"] == os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - the same as the code, otherwise
    assert claim["started"].startswith(boot_id())
    other = replace(Host.here(), namespace=INSIDE)
    monkeypatch.setattr(attempts, "start_of", lambda pid: None)  # its number is nobody's there, or another's
    assert not attempt.lives()
    monkeypatch.setattr(Host, "here", lambda: other)
    assert attempt.lives()
    assert not attempt.is_own()
    assert directories[0].holder() == attempt
    assert directories[0].try_claim() is not None
