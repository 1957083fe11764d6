"""The guest's address by DHCP over IPv4 (RFC 2131, RFC 2132), answered here so that a guest may reboot while no
handler is there."""
