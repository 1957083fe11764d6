#!/bin/sh
# Files that must be refused as a containerDisk, each for another reason.
# usage: make-hostile.sh DESTINATION
set -eu
out=$1
mkdir -p "$out/disk" "$out/hostile"
# Which one is meant?
truncate -s 1M "$out/disk/one.img" "$out/disk/two.img"
cd "$out/hostile"
qemu-img create -q -f qcow2 -u -b /etc/passwd -F raw backing.qcow2 1M
# What is written would go to a file that the image names.
qemu-img create -q -f qcow2 -o data_file=data.raw,data_file_raw=on data-file.qcow2 1M
rm data.raw
# Sound in its header, beyond repair behind it: its table of clusters begins behind the end of the file.
qemu-img create -q -f qcow2 corrupt.qcow2 1M
printf '\177\377\377\377' | dd of=corrupt.qcow2 bs=1 seek=40 conv=notrunc status=none
qemu-img create -q -f qcow2 huge.qcow2 100G
ln -s /etc/passwd link.img
ln -s ../../../../../../proc/1/root/etc/passwd climbing.img
: >empty.img
chmod 0644 *.qcow2 empty.img "$out"/disk/*
