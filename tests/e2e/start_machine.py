"""Runs in a virt-handler's pod: asks a launcher's socket to start a machine with a field that the launcher lacks.

Prints as JSON what the launcher is, how the sender's own check refused, and how the launcher did. Argument: pod UID.
"""

import asyncio
import json
import sys

from kubevirt.launcher.v1 import launcher_pb2, launcher_pb2_grpc, machine_pb2
from virt_core.rpc.error_status import from_rpc_error
from virt_core.rpc.errors import RpcError
from virt_core.rpc.peer import Peer


async def main() -> None:
    socket = f"/pods/{sys.argv[1]}/volumes/kubernetes.io~empty-dir/sockets/launcher-sock"
    peer = Peer(f"unix:{socket}", name="the launcher")
    stub = launcher_pb2_grpc.LauncherServiceStub(peer.channel)
    request = launcher_pb2.StartMachineRequest(machine=machine_pb2.Machine(uid="nobody", note="added"))
    answer = {}
    info = await peer.negotiate()
    answer["launcher"] = {"release": info.release, "level": info.feature_level, "features": list(info.features)}
    try:
        await peer.call(stub.StartMachine, request, timeout=60)
    except RpcError as error:
        answer["sender"] = {"reason": error.reason, "field": error.field}
    try:
        await stub.StartMachine(request, timeout=60)
    except Exception as error:
        refused = from_rpc_error(error)
        answer["receiver"] = {"code": error.code().name, "reason": refused.reason, "field": refused.field}
    print(json.dumps(answer))


asyncio.run(main())
