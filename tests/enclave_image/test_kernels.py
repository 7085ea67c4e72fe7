"""Kernels: each layer that the promise rests on is in its configuration, and its files are those described."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.attestation.roots import EMULATED
from blindsight.eif.kernel import AWS
from enclave_image import kernel, requirements
from enclave_image.errors import ImageError
from enclave_runtime.confinement import layers
from enclave_runtime.confinement.layers import Layers
from tests.support import command, kernels

if TYPE_CHECKING:
    from pathlib import Path

SEEN = {
    "aws-4.14": {"user ids", "namespaces", "cgroup", "seccomp"},
    "aws-6.6": {"user ids", "namespaces", "cgroup", "seccomp"},
    "debian-6.12": {"user ids", "namespaces", "cgroup", "landlock", "seccomp"},
}


def test_every_kernel_that_is_described_is_known_here() -> None:
    assert kernel.names() == sorted(SEEN)


def test_a_description_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "later.json").write_text(json.dumps(kernel.describe("debian-6.12") | {"format": "blindsight-kernel/2"}))
    monkeypatch.setattr(kernel, "FOLDER", tmp_path)
    with pytest.raises(ImageError, match="blindsight-kernel/2"):
        kernel.describe("later")


@pytest.mark.parametrize("name", sorted(SEEN))
def test_it_says_what_evidence_its_machines_give(name: str) -> None:
    described = kernel.describe(name)
    assert described["machines"].startswith({"nitro": "AWS", EMULATED: "QEMU"}[described["evidence"]])


def test_the_kernels_for_aws_are_those_that_the_core_knows() -> None:
    described = [kernel.describe(name) for name in kernel.names()]
    assert {entry["version"] for entry in described if entry["evidence"] == "nitro"} == set(AWS)


@pytest.mark.parametrize("name", sorted(SEEN))
def test_its_layers_keep_the_whole_promise(name: str) -> None:
    """By the runtime's own table of what which layer keeps."""
    has = requirements.layers_of(kernel.describe(name)["options"])
    assert {layer for layer, held in has.items() if held} == SEEN[name]
    assert set(has) == set(layers.ALL)
    held = Layers(
        ids=has["user ids"], namespaces=has["namespaces"], cgroup=has["cgroup"], landlock=0, seccomp=has["seccomp"]
    )
    assert held.gaps(root=True) == ()


@pytest.mark.parametrize("layer", requirements.PROMISE)
def test_without_any_of_them_the_promise_is_not_kept(layer: str) -> None:
    """So the check refuses no kernel for nothing: what it asks for is what the runtime's table asks for."""
    fields = {"user ids": "ids", "namespaces": "namespaces", "cgroup": "cgroup", "seccomp": "seccomp"}
    held = dict.fromkeys(fields.values(), True) | {fields[layer]: False}
    gaps = Layers(**held, landlock=0).gaps(root=True)
    # A kernel without control groups keeps its bounds by one process each; then functions could start none.
    assert gaps or layer == "cgroup"


@pytest.mark.parametrize(
    ("option", "layer"),
    [
        ("MULTIUSER", "user ids"), ("PID_NS", "namespaces"), ("NET_NS", "namespaces"), ("IPC_NS", "namespaces"),
        ("UTS_NS", "namespaces"), ("NAMESPACES", "namespaces"), ("TMPFS", "namespaces"), ("CGROUPS", "cgroup"),
        ("MEMCG", "cgroup"), ("CGROUP_PIDS", "cgroup"), ("SECCOMP", "seccomp"), ("SECCOMP_FILTER", "seccomp"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", ["n", "m", None])
def test_a_kernel_without_a_layer_is_refused(option: str, layer: str, value: str | None) -> None:
    options = dict(kernel.describe("debian-6.12")["options"])
    options.pop(option)
    if value is not None:
        options[option] = value
    with pytest.raises(ImageError, match=f"has no {layer} .*CONFIG_{option}"):
        requirements.check("x", options, ["virtio_mmio", "vsock", "vmw_vsock_virtio_transport", "nsm"])


@pytest.mark.parametrize("missing", ["virtio_mmio", "vsock", "vmw_vsock_virtio_transport", "nsm"])
def test_a_kernel_without_a_driver_is_refused(missing: str) -> None:
    modules = {"virtio_mmio", "vsock", "vmw_vsock_virtio_transport", "nsm"} - {missing}
    with pytest.raises(ImageError, match="cannot boot the image"):
        requirements.check("x", kernel.describe("debian-6.12")["options"], modules)


def test_landlock_counts_only_where_it_is_started() -> None:
    options = requirements.parse('CONFIG_SECURITY_LANDLOCK=y\nCONFIG_LSM="lockdown,yama"\n# CONFIG_NSM is not set\n')
    assert options == {"SECURITY_LANDLOCK": "y", "LSM": "lockdown,yama", "NSM": "n"}
    assert not requirements.layers_of(options)["landlock"]
    assert requirements.layers_of(options | {"LSM": "landlock,yama"})["landlock"]


def test_the_stock_kernels_files_have_to_be_given(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="in no package") as refused:
        kernel.load("aws-4.14", cache=tmp_path)
    assert "--kernel-image" in refused.value.next_step


def stock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: bytes, module: bytes, version: str = "6.6.38"
) -> kernel.Kernel:
    """A kernel of that version, whose origin published no digest, loaded from these files."""
    described: dict[str, Any] = kernel.describe("aws-6.6") | {"version": version}
    monkeypatch.setattr(kernel, "describe", lambda name: described)
    (tmp_path / "bzImage").write_bytes(image)
    (tmp_path / "nsm.ko").write_bytes(module)
    return kernel.load("aws-6.6", cache=tmp_path, image=tmp_path / "bzImage", module=tmp_path / "nsm.ko")


@pytest.mark.parametrize("release", ["6.6.38", "6.6.38-custom", "6.6.38+"])
def test_a_kernel_of_the_named_version_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str
) -> None:
    image, module = kernels.bzimage(f"{release} (me@here) #1 SMP"), kernels.module(release)
    loaded = stock(tmp_path, monkeypatch, image, module)
    assert loaded.described()["image"]["sha256"] == hashlib.sha256(image).hexdigest()
    assert loaded.modules == (("nsm.ko", module),)


@pytest.mark.parametrize(
    ("image", "module", "said"),
    [
        (b"\xff\xd8\xff\xe0 a photo", kernels.module("6.6.38"), "is not a bzImage"),
        (kernels.bzimage(""), kernels.module("6.6.38"), "is not a bzImage"),
        (kernels.bzimage("6.1.5 (me)"), kernels.module("6.6.38"), "has the version 6.1.5, not 6.6.38"),
        (kernels.bzimage("6.6.380"), kernels.module("6.6.380"), "has the version 6.6.380, not 6.6.38"),
        (kernels.bzimage("6.6.38"), b"\xff\xd8\xff\xe0 a photo", "is not a kernel module"),
        (kernels.bzimage("6.6.38"), kernels.module("6.6.38")[:100], "is not a kernel module"),
        (kernels.bzimage("6.6.38"), kernels.module(""), "is not a kernel module"),
        (kernels.bzimage("6.6.38"), kernels.module("6.1.5"), "is for a kernel 6.1.5, not 6.6.38"),
        (kernels.bzimage("6.6.38-one"), kernels.module("6.6.38-two"), "is for a kernel 6.6.38-two, not 6.6.38-one"),
        (kernels.bzimage("6.6.38"), kernels.module("6.6.38", name="vsock"), "is the module vsock, not nsm"),
    ],
    ids=range(10),
)
def test_files_that_are_not_the_named_kernel_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: bytes, module: bytes, said: str
) -> None:
    with pytest.raises(ImageError) as refused:
        stock(tmp_path, monkeypatch, image, module)
    assert said in str(refused.value)


def test_the_command_refuses_a_photo_as_kernel(tmp_path: Path) -> None:
    (tmp_path / "dog.jpeg").write_bytes(b"\xff\xd8\xff\xe0 a photo")
    (tmp_path / "kms.json").write_text(json.dumps({"bundle_sha256": "ab" * 32}))
    done = command.blindsight(
        tmp_path, "eif", "build", "--config", "kms.json", "--out", "e.eif", "--cache", tmp_path / "none",
        "--kernel", "aws-6.6", "--kernel-image", "dog.jpeg", "--nsm-module", "dog.jpeg",
    )  # fmt: skip
    assert done.returncode == 1
    assert "is not a bzImage" in done.stderr


def test_a_stock_kernel_with_another_digest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, module = tmp_path / "bzImage", tmp_path / "nsm.ko"
    right = kernels.bzimage("4.14.256-209.484.amzn2.x86_64 (mock)")
    image.write_bytes(right)
    module.write_bytes(kernels.module("4.14.256-209.484.amzn2.x86_64"))
    with pytest.raises(ImageError, match="image is not the one described"):
        kernel.load("aws-4.14", cache=tmp_path, image=image, module=module)
    described: dict[str, Any] = kernel.describe("aws-4.14")
    blob = hashlib.sha1(b"blob %d\0" % len(right) + right, usedforsecurity=False).hexdigest()
    described |= {"image": {"git_blob": blob}, "modules": [{"file": "nsm.ko", "sha256": None}]}
    monkeypatch.setattr(kernel, "describe", lambda name: described)
    assert kernel.load("aws-4.14", cache=tmp_path, image=image, module=module).image == right
    image.write_bytes(right + b"\0")
    with pytest.raises(ImageError, match="image is not the one described"):
        kernel.load("aws-4.14", cache=tmp_path, image=image, module=module)
