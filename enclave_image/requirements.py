"""Checks a kernel's configuration for the layers of confinement that the runtime needs.

The layers are those of `enclave_runtime/confinement/layers.py`. Landlock is not required: in an enclave the runtime is
root, so that user ids, namespaces, control groups and seccomp confine workers and functions completely without it.
The options are those of Linux's Kconfig.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from enclave_image.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LAYERS: Final[dict[str, tuple[str, ...]]] = {
    "user ids": ("MULTIUSER",),
    "namespaces": ("NAMESPACES", "PID_NS", "NET_NS", "IPC_NS", "UTS_NS", "TMPFS"),
    "cgroup": ("CGROUPS", "MEMCG", "CGROUP_PIDS"),
    "landlock": ("SECURITY_LANDLOCK",),
    "seccomp": ("SECCOMP", "SECCOMP_FILTER"),
}
"""Layer to the kernel options that must be built in."""

PROMISE: Final = ("user ids", "namespaces", "cgroup", "seccomp")
"""The layers that an image's kernel must have."""

BOOT: Final = ("BLK_DEV_INITRD", "BINFMT_ELF", "BINFMT_SCRIPT", "DEVTMPFS", "PROC_FS", "SYSFS", "SHMEM", "UNIX")
"""Further options that /init and the runtime need, built in."""

DEVICES: Final = ("VIRTIO_MMIO", "VSOCKETS", "VIRTIO_VSOCKETS")
"""Drivers that must be built in, or be modules of the image."""

REPORTED: Final = (
    *dict.fromkeys(option for options in LAYERS.values() for option in options),
    *BOOT, *DEVICES, "NSM", "VIRTIO_MMIO_CMDLINE_DEVICES", "VSOCKETS_LOOPBACK",
    "USER_NS", "IO_URING", "BPF_SYSCALL", "LSM",
)  # fmt: skip
"""The options that a kernel's description must contain."""


def parse(config: str) -> dict[str, str]:
    """The options of a kernel's `.config`: name without `CONFIG_` to value; `n` for "is not set"."""
    found = {}
    for line in config.splitlines():
        if line.startswith("CONFIG_"):
            name, _, value = line.removeprefix("CONFIG_").partition("=")
            found[name] = value.strip('"')
        elif line.startswith("# CONFIG_") and line.endswith(" is not set"):
            found[line.removeprefix("# CONFIG_").removesuffix(" is not set")] = "n"
    return found


def layers_of(options: Mapping[str, str]) -> dict[str, bool]:
    """Layer to whether a kernel with these options (see `parse`) has it."""
    found = {layer: all(options.get(name) == "y" for name in names) for layer, names in LAYERS.items()}
    # Landlock must also be in the list of security modules that the kernel starts.
    found["landlock"] = found["landlock"] and "landlock" in options.get("LSM", "landlock").split(",")
    return found


def check(kernel: str, options: Mapping[str, str], modules: Iterable[str]) -> None:
    """Raise `ImageError` for a kernel that lacks a layer of `PROMISE`, or that cannot boot the image.

    `modules` are the names of the modules in the image, without `.ko`.
    """
    layers = layers_of(options)
    for layer in PROMISE:
        if not layers[layer]:
            lacks = [name for name in LAYERS[layer] if options.get(name) != "y"]
            raise ImageError(
                f"The kernel {kernel} has no {layer} (CONFIG_{', CONFIG_'.join(lacks)}): untrusted code would not be"
                " confined in its enclave.",
                "Choose another kernel, or configure this one so.",
            )
    brought = set(modules)
    missing = [name for name in BOOT if options.get(name) != "y"]
    missing += [name for name in DEVICES if not _driver(name, options, brought)]
    if not _driver("NSM", options, brought):
        missing.append("NSM")
    if missing:
        raise ImageError(
            f"The kernel {kernel} cannot boot the image: it lacks CONFIG_{', CONFIG_'.join(missing)}.",
            "Choose another kernel, or give the modules.",
        )


_MODULES: Final = {
    "VIRTIO_MMIO": "virtio_mmio",
    "VSOCKETS": "vsock",
    "VIRTIO_VSOCKETS": "vmw_vsock_virtio_transport",
    "NSM": "nsm",
}


def _driver(option: str, options: Mapping[str, str], modules: set[str]) -> bool:
    return options.get(option) == "y" or _MODULES[option] in modules
