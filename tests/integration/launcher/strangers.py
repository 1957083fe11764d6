"""Who tries to get into a migration that is not theirs, from the network namespace of a pod. Used by
test_migration_strangers.py."""

from __future__ import annotations

from tests.integration.launcher.launcher_pair import Side

LIBVIRT, MEMORY, DISKS = 16514, 49152, 49153
_HEX = {LIBVIRT: "4082", MEMORY: "C000", DISKS: "C001"}

# Exit with 0 if the other side serves the caller.
_OPEN = "import libvirt, sys; libvirt.open(f'qemu+tls://{sys.argv[1]}/session').getHostname()"
_DIAL = """
import socket, ssl, sys
address, port, way = sys.argv[1], int(sys.argv[2]), sys.argv[3]
connection = socket.create_connection((address, port), timeout=5)

def encrypted():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if way == "certificate":
        folder = "/var/run/kubevirt-private/.pki/libvirt/"
        context.load_cert_chain(folder + "clientcert.pem", folder + "clientkey.pem")
    return context.wrap_socket(connection)

def option(number):  # of NBD's handshake (doc/proto.md); returns the type of the reply
    connection.sendall(b"IHAVEOPT" + number.to_bytes(4, "big") + bytes(4))
    reply = connection.recv(20, socket.MSG_WAITALL) if way == "plain" or number == 5 else connection.recv(20)
    return int.from_bytes(reply[12:16], "big") if len(reply) == 20 else 1 << 31

if port == 49153:  # everybody is greeted, and then has to encrypt
    assert connection.recv(18, socket.MSG_WAITALL).startswith(b"NBDMAGIC")
    connection.sendall((3).to_bytes(4, "big"))
    if way != "plain":
        assert option(5) == 1
        connection = encrypted()
    sys.exit(3 if option(3) >> 31 else 0)
if way != "plain":
    connection = encrypted()
# REMOTE_PROC_AUTH_LIST, the first call of a client (src/remote/remote_protocol.x).
call = [28, 0x20008086, 1, 66, 0, 1, 0]
connection.sendall(b"".join(word.to_bytes(4, "big") for word in call))
sys.exit(0 if connection.recv(1) else 3)
"""


def opens(stranger: Side, address: str) -> bool:
    """Whether libvirtd serves the stranger, who uses the certificates in its own pod."""
    return stranger.run_inside("/opt/kubevirt/bin/python3", "-I", "-c", _OPEN, address).returncode == 0


def answers(stranger: Side, address: str, port: int, way: str) -> bool:
    """Whether a port answers the stranger. `way`: "plain", "none" (TLS without a certificate), "certificate"."""
    command = ("/opt/kubevirt/bin/python3", "-I", "-c", _DIAL, address, str(port), way)
    return stranger.run_inside(*command).returncode == 0


def listening(side: Side) -> set[int]:
    """The ports of a migration on which the pod listens, on any address."""
    tables = side.run_inside("cat", "/proc/self/net/tcp", "/proc/self/net/tcp6").stdout.splitlines()
    local = {words[1].rpartition(":")[2] for words in map(str.split, tables) if words[3:4] == ["0A"]}
    return {port for port, digits in _HEX.items() if digits in local}
