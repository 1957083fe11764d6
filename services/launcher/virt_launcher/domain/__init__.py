"""The machine as libvirt sees it. Only host.py and guest.py import libvirt."""
