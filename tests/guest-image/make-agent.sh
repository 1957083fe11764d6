#!/bin/sh
# Puts Debian's guest agent and its libraries into an archive that a kernel unpacks behind an initial RAM disk. There it
# is started by /agent/start, and /tmp/agent.pid says which process it is. Such a guest also reports its memory.
# usage: make-agent.sh UNPACKED_KERNEL ARCHIVE
set -eu
kernel=$1
archive=$2
root=$(mktemp -d)

mkdir -p "$root/agent/lib" "$root/etc" "$root/modules" "$root/sbin" "$(dirname "$archive")"
cp /usr/sbin/qemu-ga "$root/agent/"
for library in $(ldd /usr/sbin/qemu-ga | grep -o '/[^ ]*'); do
    cp -L "$library" "$root/agent/lib/"
done
for module in virtio_balloon virtio_console; do
    cp "$(find "$kernel/lib/modules" -name "$module.ko")" "$root/modules/99-$module.ko"
done
cp -L /etc/os-release "$root/etc/os-release"
cat >"$root/agent/start" <<'START'
#!/bin/sh
# Without udev a port has no name of its own in /dev.
for port in /sys/class/virtio-ports/*; do
    if [ "$(cat "$port/name")" = org.qemu.guest_agent.0 ]; then
        echo $$ >/tmp/agent.pid
        exec /agent/lib/ld-linux-x86-64.so.2 --library-path /agent/lib /agent/qemu-ga \
            --method virtio-serial --path "/dev/${port##*/}" --statedir /tmp
    fi
done
echo "no port of a guest agent" >&2
exit 1
START
cat >"$root/sbin/shutdown" <<'SHUTDOWN'
#!/bin/sh
# As the guest agent calls it.
case "$*" in
*-r*) exec reboot ;;
*) exec poweroff ;;
esac
SHUTDOWN
chmod 0755 "$root/agent/start" "$root/sbin/shutdown"
(cd "$root" && find . | LC_ALL=C sort | cpio --quiet --owner=0:0 -o -H newc) | gzip -9n >"$archive"
rm -r "$root"
ls -l "$archive"
