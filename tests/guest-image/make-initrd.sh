#!/bin/sh
# Puts the guest's kernels and initial RAM disks into a folder. Needs no root: no device nodes, devtmpfs makes them.
# usage: make-initrd.sh UNPACKED_CLOUD_KERNEL UNPACKED_GENERIC_KERNEL DESTINATION
#   vmlinuz, initrd            seconds to start
#   generic/vmlinuz, initrd    three times as slow; SATA and the watchdog besides
set -eu
cloud=$1
generic=$2
out=$3
src=$(dirname "$0")
root=$(mktemp -d)

# In the order in which init loads them: each after what it depends on.
modules="virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover virtio_net
         virtio-rng button evdev pvpanic pvpanic-mmio
         virtio_blk scsi_common scsi_mod crct10dif_common crc-t10dif crc64 crc64-rocksoft t10-pi sd_mod
         cdrom sr_mod virtio_scsi isofs fat vfat nls_cp437 nls_ascii"
sata="libata libahci ahci watchdog i6300esb"

pack() { # FOLDER: a cpio archive, compressed
    (cd "$1" && find . | LC_ALL=C sort | cpio --quiet --owner=0:0 -o -H newc) | gzip -9n
}

modules_of() { # UNPACKED_KERNEL NAMES...: a folder with them, in an archive; built-in ones are left out
    kernel=$1
    n=10
    shift
    folder=$(mktemp -d)
    mkdir "$folder/modules"
    for module; do
        file=$(find "$kernel/lib/modules" -name "$module.ko")
        if [ -n "$file" ]; then
            cp "$file" "$folder/modules/$n-$module.ko"
        elif ! grep -q "/$module.ko$" "$kernel"/lib/modules/*/modules.builtin; then
            echo "$kernel has no module $module" >&2
            exit 1
        fi
        n=$((n + 1))
    done
    pack "$folder"
    rm -r "$folder"
}

mkdir -p "$out/generic" "$root/bin" "$root/dev" "$root/etc" "$root/proc" "$root/sbin" "$root/sys" "$root/tmp"
cp /bin/busybox "$root/bin/busybox"
for applet in $(/bin/busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
# musl has no kernel headers of its own; the C library's folder comes last, for linux/ only.
for program in guest-services find-disk; do
    musl-gcc -static -Os -s -Wall -Wextra -Werror -idirafter /usr/include \
        -idirafter "/usr/include/$(uname -m)-linux-gnu" -o "$root/bin/$program" "$src/$program.c"
done
install -m 0755 "$src/init" "$root/init"
install -m 0755 "$src/lease" "$src/user-data" "$root/etc"
pack "$root" >"$root.base"

# The kernel unpacks one archive behind the other..
modules_of "$cloud" $modules | cat "$root.base" - >"$out/initrd"
modules_of "$generic" $modules $sata | cat "$root.base" - >"$out/generic/initrd"
cp "$cloud"/boot/vmlinuz-* "$out/vmlinuz"
cp "$generic"/boot/vmlinuz-* "$out/generic/vmlinuz"
chmod 0644 "$out"/vmlinuz "$out"/initrd* "$out"/generic/*
rm -r "$root" "$root.base"
ls -lR "$out"
