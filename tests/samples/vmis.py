"""VirtualMachineInstances as hypothesis makes them: specs that this release does, specs with something odd in a place
or two, and junk of any shape. Used by test_from_vmi_to_xml.py and test_random_vmis.py.
"""

from __future__ import annotations

import base64
import copy
from typing import Any

from hypothesis import strategies as st
from msgspec import inspect
from virt_core.vmi.spec.domain import VmiSpec

Spec = dict[str, Any]
Draw = st.DrawFn

# What ends a string, an element, a line, a path or a command in one language or another.
ODD_TEXT = st.one_of(
    st.sampled_from(
        [
            "<x/>",
            "'/><x/>",
            '"',
            "]]>",
            "&amp;",
            "\x00",
            "\x1f",
            "\n",
            "../../etc/passwd",
            "/",
            ".",
            "-",
            "--help",
            "$(id)",
            "`id`",
            "; id",
            "%s",
            "é",
            "\u202e",
            "\U0001f600",
            "\ufffe",
            ",id=x",
            "x" * 300,
            "",
        ]
    ),
    st.text(max_size=12),
)
PLAIN_TEXT = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
NAMES = ("a", "disk-1", "vol2", "x" * 62, "x" * 63)
SECRET = {"name": "some.secret"}


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Spec]:
    """An object with any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


def one(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Spec]:
    """An object with exactly one of these fields."""
    return st.one_of(*(st.fixed_dictionaries({name: value}) for name, value in fields.items()))


def constant(**fields: Any) -> st.SearchStrategy[Spec]:
    """This object."""
    return st.just(fields)


def pick(*values: Any) -> st.SearchStrategy[Any]:
    """One of them."""
    return st.sampled_from(values)


SWITCH = optional(enabled=st.booleans())
TIMER = {"present": st.booleans()}
POD_NETWORK = optional(vmNetworkCIDR=pick("10.0.2.0/24", "192.168.9.0/30", "172.16.0.0/12"))
CPU = optional(
    sockets=st.integers(0, 2),
    cores=st.integers(0, 4),
    threads=st.integers(0, 2),
    model=pick("host-model", "host-passthrough", "qemu64", "Haswell-noTSX"),
    features=st.lists(
        st.fixed_dictionaries(
            {"name": pick("aes", "vmx", "sse4.2")}, optional={"policy": pick("require", "disable", "")}
        ),
        unique_by=lambda feature: feature["name"],
        max_size=3,
    ),
    dedicatedCpuPlacement=st.just(False),
)
FIRMWARE = optional(
    uuid=st.uuids().map(str),
    serial=pick("A1", "some (serial) no. 7"),
    bootloader=one(bios=optional(), efi=constant(secureBoot=False)) | constant(),
    kernelBoot=st.fixed_dictionaries(
        {
            "container": constant(image="guest:1", kernelPath="/boot/k")
            | constant(image="g", kernelPath="/k", initrdPath="/i")
        },
        optional={"kernelArgs": pick("console=ttyS0", "a='<b>' & c \"d\"")},
    ),
)
CLOCK = optional(
    timer=optional(
        hpet=optional(**TIMER, tickPolicy=pick("delay", "discard")),
        kvm=optional(**TIMER),
        hyperv=optional(**TIMER),
        pit=optional(**TIMER, tickPolicy=pick("delay", "discard")),
        rtc=optional(**TIMER, tickPolicy=pick("catchup", "delay"), track=pick("guest", "wall")),
    )
) | one(utc=optional(offsetSeconds=st.integers(-86400, 86400)), timezone=pick("UTC", "Europe/Berlin"))
FEATURES = optional(
    apic=optional(endOfInterrupt=st.booleans()), kvm=optional(hidden=st.booleans()), pvspinlock=SWITCH, smm=SWITCH
)
CHASSIS = optional(
    manufacturer=pick("Some Ltd."), asset=pick("a/1"), sku=pick("s"), version=pick("1.0"), serial=pick("2")
)
MEMORY = st.fixed_dictionaries(
    {"guest": pick("64Mi", "1Gi", 1 << 30, "128M")},
) | st.fixed_dictionaries({"guest": pick("64Mi", "1Gi"), "hugepages": constant(pageSize="2Mi")})
RESOURCES = optional(
    requests=optional(cpu=pick("100m", 1), memory=pick("64Mi")),
    limits=optional(cpu=pick(2, "2"), memory=pick("1Gi")),
    overcommitGuestOverhead=st.booleans(),
)
WATCHDOG = st.fixed_dictionaries(
    {"name": pick("w"), "i6300esb": optional(action=pick("poweroff", "reset", "shutdown"))}
)
INPUT = st.fixed_dictionaries({"name": pick("t"), "type": pick("tablet")}, optional={"bus": pick("usb", "virtio")})
DEVICES = optional(
    inputs=st.lists(INPUT, max_size=2),
    watchdog=WATCHDOG,
    rng=constant(),
    tpm=constant(enabled=False),
    video=optional(type=pick("vga", "bochs", "virtio", "ramfb")),
    disableHotplug=st.booleans(),
    **{
        name: st.booleans()
        for name in (
            "autoattachSerialConsole",
            "autoattachMemBalloon",
            "autoattachInputDevice",
            "logSerialConsole",
            "blockMultiQueue",
            "networkInterfaceMultiqueue",
            "useVirtioTransitional",
        )
    },
)
TEXT = pick("#cloud-config\n", "x" * 2048, "<a/>", "héllo")
ENCODED = TEXT.filter(lambda text: len(text.encode()) <= 2048).map(
    lambda text: base64.b64encode(text.encode()).decode()
)
CLOUD_INIT = one(userData=TEXT, userDataBase64=ENCODED, secretRef=st.just(SECRET)).flatmap(
    lambda user: optional(networkData=TEXT).map(lambda network: {**user, **network})
)
LABEL = optional(volumeLabel=pick("LABEL", "my config"))
SOURCES = {
    "containerDisk": optional(path=pick("/disk/a.img"), imagePullPolicy=pick("Always")).map(
        lambda o: {"image": "i", **o}
    ),
    "emptyDisk": constant(capacity="1Gi") | constant(capacity=1000),
    "persistentVolumeClaim": optional(readOnly=st.booleans()).map(lambda o: {"claimName": "claim", **o}),
    "dataVolume": constant(name="claim"),
    "ephemeral": constant(persistentVolumeClaim={"claimName": "claim"}),
    "configMap": LABEL.map(lambda label: {"name": "c", **label}),
    "secret": LABEL.map(lambda label: {"secretName": "s", **label}),
    "downwardAPI": constant(fields=[{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]),
}
ONLY_ONCE = {
    "cloudInitNoCloud": CLOUD_INIT,
    "cloudInitConfigDrive": CLOUD_INIT,
    "serviceAccount": constant(serviceAccountName="default"),
}
PROBE = st.one_of(
    one(guestAgentPing=constant(), exec=constant(command=["cat", "/ready"])),
    st.fixed_dictionaries({"guestAgentPing": constant(), "periodSeconds": st.integers(0, 60)}),
)


@st.composite
def volumes(draw: Draw) -> list[Spec]:
    """Volumes of different names."""
    made, sources = [], {**SOURCES, **ONLY_ONCE}
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=len(NAMES))):
        source = draw(st.sampled_from(sorted(sources)))
        made.append({"name": name, source: draw(sources[source])})
        if source in ONLY_ONCE:
            sources = {kind: sources[kind] for kind in SOURCES}
    return made


@st.composite
def disk(draw: Draw, volume: Spec, order: int) -> Spec:
    """A disk for a volume."""
    claimed = "persistentVolumeClaim" in volume or "dataVolume" in volume
    only_read = volume.get("persistentVolumeClaim", {}).get("readOnly", False)
    other = st.fixed_dictionaries({"bus": pick("virtio", "scsi", "usb")}, optional={"readonly": st.booleans()})
    targets: dict[str, st.SearchStrategy[Any]] = {
        "disk": other if only_read else other | optional(bus=pick("sata"), readonly=st.just(False)),
        "cdrom": optional(bus=pick("sata", "scsi"), tray=pick("open", "closed"), readonly=st.just(True)),
    }
    if claimed:
        targets["lun"] = optional(bus=pick("scsi"), readonly=st.booleans())
    made = {
        "name": volume["name"],
        **draw(one(**targets) if only_read else one(**targets) | constant()),
        **draw(
            optional(
                bootOrder=st.just(order),
                serial=st.just(f"serial-{order}"),
                errorPolicy=pick("stop", "ignore"),
            )
        ),
        **draw(
            optional(cache=pick("none", "writethrough", "writeback")) | constant(io="native") | constant(io="threads")
        ),
    }
    if "lun" in made:
        made.pop("serial", None)
    if "cdrom" not in made and "lun" not in made and draw(st.booleans()):
        made["blockSize"] = {"custom": {"logical": 512, "physical": 4096}}
    if claimed and draw(st.booleans()):
        made["shareable"] = True
    if made.get("disk", {}).get("bus") == "virtio" and draw(st.booleans()):
        made["dedicatedIOThread"] = True
    return made


@st.composite
def network(draw: Draw) -> tuple[Spec, Spec]:
    """What devices and the spec say of the network."""
    how = draw(pick("nothing", "none", "masquerade", "bridge"))
    if how in ("nothing", "none"):
        return ({"autoattachPodInterface": False} if how == "none" else {}), {}
    interface = draw(
        optional(
            model=pick("virtio", "e1000", "e1000e", "rtl8139"),
            macAddress=pick("02:00:00:00:00:0A", "02-00-00-00-00-01"),
            ports=pick([{"port": 80, "name": "http"}, {"port": 80, "protocol": "UDP"}], []),
            bootOrder=st.just(99),
            acpiIndex=st.integers(0, 16383),
            state=pick("up", "down"),
        )
    )
    pod = draw(POD_NETWORK) if how == "masquerade" else {}
    return {"interfaces": [{"name": "net", how: {}, **interface}]}, {"networks": [{"name": "net", "pod": pod}]}


def credential(kinds: set[str]) -> st.SearchStrategy[Spec]:
    """Public keys or passwords, for a guest with volumes of these kinds."""
    source = constant(secret={"secretName": "some.secret"})
    users = st.lists(pick("core", "root", "user@example.com"), min_size=1, max_size=3, unique=True)
    ways: dict[str, st.SearchStrategy[Any]] = {"qemuGuestAgent": st.fixed_dictionaries({"users": users})}
    if "cloudInitNoCloud" in kinds:
        ways["noCloud"] = constant()
    if "cloudInitConfigDrive" in kinds:
        ways["configDrive"] = constant()
    return one(
        sshPublicKey=st.fixed_dictionaries({"source": source, "propagationMethod": one(**ways)}),
        userPassword=st.fixed_dictionaries({"source": source, "propagationMethod": constant(qemuGuestAgent={})}),
    )


@st.composite
def supported(draw: Draw) -> Spec:
    """A spec that this release does."""
    found = draw(volumes())
    # A disk that is not named is on SATA, where none is read-only.
    needed = [volume.get("persistentVolumeClaim", {}).get("readOnly", False) for volume in found]
    disks = [
        draw(disk(volume, order))
        for order, (volume, must) in enumerate(zip(found, needed, strict=True), 1)
        if must or draw(st.integers(0, 3))
    ]
    devices, networks = draw(network())
    devices = {**draw(DEVICES), **devices, **({"disks": disks} if disks else {})}
    if "video" not in devices and draw(st.booleans()):
        devices["autoattachGraphicsDevice"] = draw(st.booleans())
    domain = {"devices": devices, "memory": draw(MEMORY)}
    parts = {
        "cpu": CPU,
        "firmware": FIRMWARE,
        "clock": CLOCK,
        "features": FEATURES,
        "chassis": CHASSIS,
        "resources": RESOURCES,
        "machine": constant(type="q35") | constant(type="pc-q35-7.2"),
    }
    domain |= draw(optional(**parts))
    firmware = domain.get("firmware", {})
    if "efi" in firmware.get("bootloader", {}):
        domain["memory"] = {**domain["memory"], "guest": "1Gi"}  # UEFI does not fit into 64Mi
    kinds = {kind for volume in found for kind in volume}
    around = optional(
        accessCredentials=st.lists(credential(kinds), max_size=3),
        hostname=pick("web-1"),
        subdomain=pick("web"),
        startStrategy=pick("Paused"),
        evictionStrategy=pick("None"),
        terminationGracePeriodSeconds=st.integers(0, 3600),
        readinessProbe=PROBE,
        dnsPolicy=pick("Default"),
        nodeSelector=constant(**{"example.com/zone": "a"}),
        architecture=pick("amd64"),
    )
    return {"domain": domain, **({"volumes": found} if found else {}), **networks, **draw(around)}


@st.composite
def nearly_supported(draw: Draw) -> Spec:
    """The same with odd text in place of one or two of its strings, or an odd number in that of its numbers."""
    spec = copy.deepcopy(draw(supported()))
    for _ in range(draw(st.integers(1, 2))):
        found = list(leaves(spec))
        parent, key = found[draw(st.integers(0, len(found) - 1))]
        text = isinstance(parent[key], str)
        parent[key] = draw((ODD_TEXT | PLAIN_TEXT) if text else (st.integers(0, 8) | st.integers(-(1 << 70), 1 << 70)))
    return spec


def leaves(value: Any) -> Any:
    """Every place of a string or number, as its container and key."""
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    for key, below in items:
        if isinstance(below, dict | list):
            yield from leaves(below)
        else:
            yield value, key


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ODD_TEXT,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(ODD_TEXT, below, max_size=3),
    max_leaves=6,
)
SCALARS: dict[type, st.SearchStrategy[Any]] = {
    inspect.StrType: ODD_TEXT,
    inspect.IntType: st.integers(-(1 << 70), 1 << 70) | st.integers(0, 8),
    inspect.FloatType: st.floats(allow_nan=False, allow_infinity=False),
    inspect.BoolType: st.booleans(),
    inspect.NoneType: st.none(),
    inspect.AnyType: JSON,
}


def of_type(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Values that a type may decode, and here and there junk in their stead or a field that nobody knows."""
    if isinstance(kind, inspect.UnionType):
        return st.one_of(*(of_type(option) for option in kind.types if not isinstance(option, inspect.NoneType)))
    if isinstance(kind, inspect.ListType):
        return st.lists(of_type(kind.item_type), max_size=3) | JSON
    if isinstance(kind, inspect.DictType):
        return st.dictionaries(ODD_TEXT, of_type(kind.value_type), max_size=3) | JSON
    if isinstance(kind, inspect.StructType):
        required = {field.encode_name: of_type(field.type) for field in kind.fields if field.required}
        others = {field.encode_name: of_type(field.type) for field in kind.fields if not field.required}
        return st.fixed_dictionaries(required, optional={**others, "unknown": JSON})
    return SCALARS[type(kind)]


random_specs = of_type(inspect.type_info(VmiSpec)) | JSON | nearly_supported()
