"""The machine as a libvirt domain. Only host.py, guest.py and guest_agent.py import libvirt."""
