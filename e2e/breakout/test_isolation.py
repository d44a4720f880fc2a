"""The wall's files and network: hidden places stay hidden, by every way of mounting, and no service of the host is reached."""

from textwrap import dedent

import pytest

from e2e.breakout.conftest import Services
from e2e.breakout.wall import Wall

pytestmark = pytest.mark.isolation


def hidden(wall: Wall) -> dict[str, list[str]]:
    return {"hidden": [str(wall.world["secret"]), str(wall.world["run_directory"])], "read_only": [str(wall.world["policies"])]}


READS = {
    "the secret file": 'return world["text"].encode() in read(world["secret"])',
    "the run directory": 'return os.listdir(world["run_directory"])',
    "a file in the run directory": 'return read(world["run_directory"] + "/sds.yaml")',
    "through the working directory of another process": 'return read(f"/proc/{world[\'victim\']}/root" + world["secret"])',
    "the environment of another process": 'return world["text"].encode() in read(f"/proc/{world[\'victim\']}/environ")',
    "making it readable first": 'os.chmod(world["secret"], 0o666); return read(world["secret"])',
    "writing the policy": 'open(world["policies"] + "/profile.yaml", "a").close(); return True',
    "adding a policy": 'open(world["policies"] + "/more.yaml", "w").close(); os.unlink(world["policies"] + "/more.yaml"); return True',
    "moving the policies aside": """
        os.rename(world["policies"], world["policies"] + "2"); os.rename(world["policies"] + "2", world["policies"]); return True
    """,
    "moving what is above the policies aside": """
        os.rename(world["base"], world["base"] + "2"); os.rename(world["base"] + "2", world["base"]); return True
    """,
}


@pytest.mark.parametrize("body", READS.values(), ids=READS.keys())
def test_hidden_places_cannot_be_read_and_the_policy_not_changed(wall: Wall, body: str) -> None:
    assert wall.outside(body).reached
    assert not wall.inside(body, **hidden(wall)).reached


SCRATCH = "import tempfile; os.chdir(tempfile.mkdtemp(dir='.'))"

AROUND = {
    "unmounting": 'umount(world["secret"]); return read(world["secret"])',
    "unmounting lazily": 'umount(world["secret"], 2); return read(world["secret"])',
    "unmounting the directory": 'umount(world["run_directory"], 2); return os.listdir(world["run_directory"])',
    "binding the directory above": """
        os.mkdir("view"); mount(world["base"], "view", flags=BIND); return world["text"].encode() in read("view/secrets/token")
    """,
    "binding deep, then unmounting": """
        os.mkdir("view"); mount(world["base"], "view", flags=BIND | REC); umount("view/secrets/token", 2)
        return world["text"].encode() in read("view/secrets/token")
    """,
    "an overlay of the directory above": """
        for name in ("upper", "work", "view"): os.mkdir(name)
        mount("tmpfs", "work", "tmpfs"); os.mkdir("work/u"); os.mkdir("work/w")
        mount("overlay", "view", "overlay", options=f"lowerdir={world['base']}/secrets,upperdir=work/u,workdir=work/w")
        return world["text"].encode() in read("view/token")
    """,
    "a clone of the tree": """
        tree = called(libc.syscall(428, -100, (world["base"] + "/secrets").encode(), 1))
        return world["text"].encode() in os.read(os.open("token", os.O_RDONLY, dir_fd=tree), 100)
    """,
    "moving the cover away": """
        os.mkdir("view"); mount(world["run_directory"], "view", flags=MOVE); return os.listdir(world["run_directory"])
    """,
    "pivoting the root": """
        mount("/", "/mnt", flags=BIND | REC); os.chroot("/mnt"); umount(world["secret"], 2)
        return world["text"].encode() in read(world["secret"])
    """,
    "remounting the policy writable": """
        mount("none", world["policies"], flags=BIND | REMOUNT | 6); open(world["policies"] + "/more.yaml", "w").close(); return True
    """,
}


@pytest.mark.parametrize("body", AROUND.values(), ids=AROUND.keys())
@pytest.mark.parametrize("powers", ["", "nested()"], ids=["as it is", "as root of a nested user namespace"])
def test_covers_cannot_be_lifted(wall: Wall, body: str, powers: str) -> None:
    """The control lifts equal covers that its own namespace made: what stops the attempt is that these are locked."""
    assert wall.outside("\n".join((SCRATCH, "nested(); cover(world)", dedent(body)))).reached
    assert not wall.inside("\n".join((SCRATCH, powers, dedent(body))), **hidden(wall)).reached


BESIDE = {
    "binding the root": """
        os.mkdir("view"); mount("/", "view", flags=BIND); return world["text"].encode() in read("view" + world["secret"])
    """,
    "unmounting the new process list": 'umount("/proc", 2); return os.path.exists(f"/proc/{world[\'victim\']}")',
    "unmounting the new devices": 'umount("/dev", 2); return len(os.listdir("/dev")) > 14',
    "renaming the cover's file": 'os.rename(world["secret"], world["secret"] + "2"); return read(world["secret"] + "2")',
    "a hard link beside the cover": 'os.link(world["secret"], world["base"] + "/link"); return read(world["base"] + "/link")',
}


@pytest.mark.parametrize("body", BESIDE.values(), ids=BESIDE.keys())
@pytest.mark.parametrize("powers", ["", "nested()"], ids=["as it is", "as root of a nested user namespace"])
def test_there_is_no_way_beside_the_covers(wall: Wall, body: str, powers: str) -> None:
    assert wall.outside('return world["text"].encode() in read(world["secret"])').reached
    assert not wall.inside("\n".join((SCRATCH, powers, dedent(body))), **hidden(wall)).reached


def test_a_nested_user_namespace_is_what_these_attempts_have(wall: Wall) -> None:
    """The control of the attempts above: inside, nested powers are real and mounting works."""
    assert wall.inside("nested(); mount('tmpfs', '/mnt', 'tmpfs', options='size=8k'); return os.statvfs('/mnt').f_blocks == 2").reached


SERVICES = {
    "TCP on the host's loopback": 'return talk(socket.AF_INET, ("127.0.0.1", world["tcp4"]))',
    "TCP on the host's IPv6 loopback": 'return talk(socket.AF_INET6, ("::1", world["tcp6"]))',
    "UDP on the host's loopback": 'return talk(socket.AF_INET, ("127.0.0.1", world["udp4"]), socket.SOCK_DGRAM)',
    "an abstract socket": 'return talk(socket.AF_UNIX, "\\0" + world["abstract"])',
    "a socket in a directory of sockets": 'return talk(socket.AF_UNIX, world["own_socket"])',
    "a socket among other files": 'return talk(socket.AF_UNIX, world["mixed_socket"])',
    "a socket in the working directory": 'return talk(socket.AF_UNIX, world["here_socket"])',
    "a socket that was renamed": 'return talk(socket.AF_UNIX, world["renamed_socket"])',
    "a socket bound by a relative name": 'return talk(socket.AF_UNIX, world["relative_socket"])',
    "a datagram socket": """
        client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        return client.sendto(b"hello", world["datagram_socket"]) == 5
    """,
}


@pytest.mark.parametrize("body", SERVICES.values(), ids=SERVICES.keys())
def test_no_service_of_the_host_is_reached(wall: Wall, services: Services, body: str) -> None:
    assert wall.outside(body).reached
    before = services.visits
    assert not wall.inside(body).reached
    assert services.visits == before


LEAVING = {
    "a route to anywhere": """
        client = socket.socket(); client.settimeout(2); client.connect(("192.0.2.1", 80)); return True
    """,
    "IPv6 to anywhere": """
        client = socket.socket(socket.AF_INET6); client.settimeout(2); client.connect(("2001:db8::1", 80)); return True
    """,
    "a UDP packet to a resolver": """
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); return client.sendto(b"x", ("192.0.2.53", 53))
    """,
    "broadcast": """
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); client.setsockopt(1, 6, 1)
        return client.sendto(b"x", ("255.255.255.255", 9))
    """,
    "a name": 'return socket.getaddrinfo("example.com", 443)',
    "a raw socket": "return socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "a packet socket": "return socket.socket(17, socket.SOCK_RAW, 3)",
    "vsock to the machine's host": "return socket.socket(40, socket.SOCK_STREAM)",
    "a second route by netlink": """
        nested(0)
        return [name for _, name in socket.if_nameindex() if name != "lo"]
    """,
}


@pytest.mark.parametrize("body", LEAVING.values(), ids=LEAVING.keys())
def test_no_packet_leaves(wall: Wall, body: str) -> None:
    assert not wall.inside(body).reached


def test_its_own_loopback_works(wall: Wall) -> None:
    """The control of the network attempts: sockets as such work inside."""
    body = """
        server = socket.create_server(("127.0.0.1", 8123)); client = socket.create_connection(("127.0.0.1", 8123))
        other = socket.create_server(("::1", 8123), family=socket.AF_INET6); socket.create_connection(("::1", 8123))
        pair = socket.socketpair(); local = socket.socket(socket.AF_UNIX); local.bind("own.sock"); local.listen(); os.unlink("own.sock")
        return True
    """
    assert wall.inside(body).reached


@pytest.mark.usefixtures("services")
def test_the_relay_is_reached(wall: Wall) -> None:
    body = 'return talk(socket.AF_INET, ("127.0.0.1", 15080)) and talk(socket.AF_INET6, ("::1", 15080))'
    assert wall.inside(body, target=["127.0.0.1", wall.world["tcp4"]]).reached
