#!/bin/sh
# User data of the guests that move between QEMUs of two releases (tests/integration/launcher/travelling_guest.py and
# tests/e2e/test_migration_between_launchers.py). The memory is /tmp/memory; of each
# disk the first 127 blocks of 64 KiB are renewed between two moves, and the next one is written while it moves.
dd if=/dev/urandom of=/tmp/memory bs=1M count=40

cat >/bin/each-disk <<'END'
#!/bin/sh
# usage: each-disk COMMAND: run it for all disks that can be written, in $disk and $device
for disk in root scratch claim; do
    device=$(find-disk $disk) && eval "$1" || echo "$disk: $1: failed"
done
END

cat >/bin/renew <<'END'
#!/bin/sh
# usage: renew NUMBER: 2 MiB of random data to each disk, at another place than the last one's
each-disk "dd if=/dev/urandom of=\$device bs=64k count=32 seek=$(($1 % 3 * 32)) conv=notrunc,fsync 2>/dev/null"
echo renewed
END

cat >/bin/sums <<'END'
#!/bin/sh
# One line of checksums. Nothing of a disk is read from the guest's memory.
echo 3 >/proc/sys/vm/drop_caches
echo $(
    echo "memory=$(sha256sum </tmp/memory)"
    for disk in root scratch claim seed cd; do
        echo "$disk=$(dd if=$(find-disk $disk) bs=64k count=127 2>/dev/null | sha256sum)"
    done
) | sed 's/  *-//g'
END

cat >/bin/keep-writing <<'END'
#!/bin/sh
# Write a random block to all disks, again and again, until stop-writing.
number=0
while [ ! -e /tmp/stop ]; do
    dd if=/dev/urandom of=/tmp/last bs=64k count=1 2>/dev/null
    each-disk 'dd if=/tmp/last of=$device bs=64k seek=127 conv=notrunc,fsync 2>/dev/null' >>/tmp/failures
    number=$((number + 1))
done
echo $number >/tmp/written
touch /tmp/stopped
END

cat >/bin/stop-writing <<'END'
#!/bin/sh
# How often it was written, and which disk has not what was written last.
touch /tmp/stop
while [ ! -e /tmp/stopped ]; do usleep 20000; done
rm /tmp/stop /tmp/stopped
echo 3 >/proc/sys/vm/drop_caches
each-disk 'dd if=$device bs=64k skip=127 count=1 2>/dev/null | cmp - /tmp/last' >>/tmp/failures 2>&1
echo written=$(cat /tmp/written) $(cat /tmp/failures)
: >/tmp/failures
END

chmod 0755 /bin/each-disk /bin/renew /bin/sums /bin/keep-writing /bin/stop-writing
echo "travelling guest: prepared" >/dev/console
