"""The machine as libvirt sees it. Only host.py, guest.py and guest_agent.py import libvirt."""
