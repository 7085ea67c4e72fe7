#!/bin/bash
# Builds what `make test-enclave` needs, for distributions that do not package it (Debian 12, 13): QEMU with its
# nitro-enclave machine, from Debian's own source package, and vhost-device-vsock from Debian testing.
#
#     sudo apt-get install gcc make ninja-build pkg-config python3-venv flex bison \
#         libcbor-dev libglib2.0-dev libfdt-dev libgnutls28-dev libattr1-dev xz-utils
#     tools/build_qemu_nitro.sh FOLDER
#
# It takes some six minutes on two processors and installs nothing: all of it goes into FOLDER, and the last lines say
# what to export. Needs an apt whose sources list `deb-src … trixie`, `deb … bookworm-backports` and `deb … forky`.
set -euo pipefail
folder=${1:?usage: $0 FOLDER}
mkdir -p "$folder"/{source,packages,unpacked}
cd "$folder"
folder=$PWD

(cd packages
 apt-get source --download-only --only-source qemu/trixie
 apt-get download qemu-system-data seabios vhost-device-vsock/forky
 for package in *.deb; do dpkg-deb -x "$package" ../unpacked; done)
tar xf packages/qemu_*.orig.tar.* -C source --strip-components=1

cd source
python3 -m venv ../meson
../meson/bin/pip install --quiet meson==1.5.2 tomli distlib pycotap==1.3.1 setuptools wheel
# Debian builds without libcbor, so that this machine is missing from its packages; nothing else is needed of QEMU here.
cat > configs/devices/x86_64-softmmu/nitro.mak <<'DEVICES'
CONFIG_NITRO_ENCLAVE=y
CONFIG_VIRTIO_SERIAL=y
CONFIG_VIRTIO_RNG=y
CONFIG_VIRTIO_NET=y
CONFIG_VIRTIO_BLK=y
DEVICES
# Firmware that Debian's source leaves out; the build only looks whether the files are there.
touch pc-bios/edk2-{aarch64-code,arm-code,arm-vars,riscv-code,riscv-vars,i386-code,i386-secure-code,i386-vars}.fd.bz2 \
    pc-bios/edk2-{x86_64-code,x86_64-secure-code,loongarch64-code,loongarch64-vars}.fd.bz2
mkdir -p build
cd build
../configure --python="$folder/meson/bin/python3" --target-list=x86_64-softmmu --without-default-features \
    --without-default-devices --with-devices-x86_64=nitro --enable-system --enable-tcg --enable-kvm --enable-gnutls \
    --enable-libcbor --enable-vhost-user --enable-fdt=system --enable-attr --disable-docs --disable-install-blobs \
    --disable-werror
ninja qemu-system-x86_64

cat <<EXPORTS
export NITRO_QEMU=$folder/source/build/qemu-system-x86_64
export NITRO_VSOCK=$folder/unpacked/usr/bin/vhost-device-vsock
export NITRO_FIRMWARE=$folder/unpacked/usr/share/qemu:$folder/unpacked/usr/share/seabios
EXPORTS
