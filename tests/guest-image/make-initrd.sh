#!/bin/sh
# Puts the guest's kernel and initial RAM disk into a folder. Needs no root: no device nodes, devtmpfs makes them.
# usage: make-initrd.sh UNPACKED_KERNEL_PACKAGE DESTINATION
set -eu
kernel=$1
out=$2
src=$(dirname "$0")
root=$(mktemp -d)

# In the order in which init loads them: each after what it depends on.
modules="virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover virtio_net
         virtio-rng button evdev pvpanic pvpanic-mmio
         virtio_blk scsi_common scsi_mod virtio_scsi sd_mod cdrom sr_mod isofs"

mkdir -p "$out" "$root/bin" "$root/dev" "$root/etc" "$root/modules" "$root/proc" "$root/sbin" "$root/sys" "$root/tmp"
cp /bin/busybox "$root/bin/busybox"
for applet in $(/bin/busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
n=10
for module in $modules; do
    cp "$(find "$kernel/lib/modules" -name "$module.ko")" "$root/modules/$n-$module.ko"
    n=$((n + 1))
done
# musl has no kernel headers of its own; the C library's folder comes last, for linux/ only.
musl-gcc -static -Os -s -Wall -Wextra -Werror -idirafter /usr/include -idirafter "/usr/include/$(uname -m)-linux-gnu" \
    -o "$root/bin/guest-services" "$src/guest-services.c"
install -m 0755 "$src/init" "$root/init"
install -m 0755 "$src/lease" "$root/etc/lease"

(cd "$root" && find . | LC_ALL=C sort | cpio --quiet --owner=0:0 -o -H newc) | gzip -9n >"$out/initrd"
cp "$kernel"/boot/vmlinuz-* "$out/vmlinuz"
chmod 0644 "$out/initrd" "$out/vmlinuz"
rm -r "$root"
ls -l "$out"
