#!/bin/sh
# A disk that boots the cloud kernel by BIOS (syslinux) and by UEFI (systemd-boot). Needs no root and no loop device.
# usage: make-disk.sh FOLDER_OF_MAKE_INITRD IMAGE
set -eu
boot=$1
image=$2
work=$(mktemp -d)
disk=$work/disk.raw
start=2048 # sectors before the one partition
sectors=$(((24 << 20) / 512))
arguments="console=ttyS0 quiet no_timer_check"

truncate -s $(((start + sectors) * 512)) "$disk"
# Type ef is what UEFI looks for, the flag what the boot record does.
echo "start=$start, size=$sectors, type=ef, bootable" | sfdisk --quiet "$disk"
dd if=/usr/lib/syslinux/mbr/mbr.bin of="$disk" conv=notrunc status=none
mkfs.fat --offset $start -F 16 -n GUEST -i 67756573 "$disk" $((sectors / 2)) >/dev/null
export MTOOLS_SKIP_CHECK=1
partition=$disk@@$((start * 512))
mmd -i "$partition" ::/EFI ::/EFI/BOOT ::/loader ::/loader/entries
mcopy -i "$partition" /usr/lib/systemd/boot/efi/systemd-bootx64.efi ::/EFI/BOOT/BOOTX64.EFI
mcopy -i "$partition" "$boot/vmlinuz" ::/vmlinuz
mcopy -i "$partition" "$boot/initrd" ::/initrd
printf 'timeout 0\ndefault guest\neditor no\n' | mcopy -i "$partition" - ::/loader/loader.conf
printf 'title guest\nlinux /vmlinuz\ninitrd /initrd\noptions %s firmware=uefi\n' "$arguments" |
    mcopy -i "$partition" - ::/loader/entries/guest.conf
printf 'DEFAULT guest\nPROMPT 0\nLABEL guest\n KERNEL /vmlinuz\n APPEND %s firmware=bios\n INITRD /initrd\n' \
    "$arguments" | mcopy -i "$partition" - ::/syslinux.cfg
syslinux --install --offset $((start * 512)) "$disk"
mkdir -p "$(dirname "$image")"
qemu-img convert -f raw -O qcow2 "$disk" "$image"
chmod 0644 "$image"
rm -r "$work"
