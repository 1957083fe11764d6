#!/bin/sh
# A Debian trixie with cloud-init and the QEMU guest agent: DESTINATION/disk/debian.qcow2 and, for kernelBoot,
# DESTINATION/boot/vmlinuz and initrd. Needs root, mmdebstrap, mke2fs, qemu-img and a Debian mirror; no loop device.
# usage: make-disk.sh DESTINATION MIRROR [APT_OPTION...]
set -eu
out=$1
mirror=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

for option; do # each becomes an option of mmdebstrap, in its place
    shift
    set -- "$@" "--aptopt=$option"
done
mkdir -p "$work/hooks"
# Only what this machine has, so that an emulated CPU has less to unpack.
cat >"$work/hooks/initramfs" <<'END'
set -eu
mkdir -p "$1/etc/initramfs-tools/conf.d"
printf 'MODULES=list\nCOMPRESS=zstd\nRESUME=none\n' >"$1/etc/initramfs-tools/conf.d/guest"
printf 'virtio_pci\nvirtio_blk\next4\n' >"$1/etc/initramfs-tools/modules"
END
packages=cloud-init,dbus,e2fsprogs,initramfs-tools,iproute2,linux-image-cloud-amd64,netbase,openssh-server,qemu-guest-agent
packages=$packages,systemd-resolved,systemd-sysv,udev,zstd
mmdebstrap --quiet --variant=minbase --format=directory "$@" --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --extract-hook="sh $work/hooks/initramfs \"\$1\"" trixie "$root" ${mirror:+"$mirror"}

echo 'LABEL=root / ext4 defaults 0 1' >"$root/etc/fstab"
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/machine-id" "$root/etc/hostname"
: >"$root/etc/machine-id"
cat >"$root/etc/cloud/cloud.cfg.d/90-guest.cfg" <<'END'
datasource_list: [NoCloud, ConfigDrive]
# An emulated CPU needs a minute for an RSA key.
ssh_genkeytypes: [ed25519]
system_info:
  network:
    renderers: [networkd]
apt: {preserve_sources_list: true}
manage_etc_hosts: false
END
for unit in systemd-networkd.service qemu-guest-agent.service ssh.service serial-getty@ttyS0.service; do
    systemctl --root="$root" enable "$unit" >/dev/null 2>&1 || true
done
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer systemd-networkd-wait-online.service systemd-timesyncd.service logrotate.timer motd-news.timer \
    systemd-pstore.service systemd-binfmt.service apparmor.service; do
    systemctl --root="$root" mask "$unit" >/dev/null 2>&1 || true
done
mkdir -p "$out/boot" "$out/disk"
cp "$root"/boot/vmlinuz-* "$out/boot/vmlinuz"
cp "$root"/boot/initrd.img-* "$out/boot/initrd"
rm -rf "$root"/boot/* "$root"/var/cache/apt "$root"/var/lib/apt/lists/* "$root"/usr/lib/modules/*/kernel/drivers/net/ethernet
truncate -s 1500M "$work/disk.raw"
mke2fs -q -t ext4 -L root -E root_owner=0:0,lazy_itable_init=1 -d "$root" "$work/disk.raw"
qemu-img convert -c -o compression_type=zstd -f raw -O qcow2 "$work/disk.raw" "$out/disk/debian.qcow2"
chmod 0644 "$out"/boot/* "$out"/disk/*
ls -l "$out"/boot "$out"/disk
