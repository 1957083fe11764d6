"""DHCP server over IPv4 for the guest (RFC 2131, RFC 2132), in the launcher so that a guest can reboot while no handler
runs."""
