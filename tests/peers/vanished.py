"""Two machines, and one that loses its power: vanished.py MODE.

They are network namespaces, made without privileges; power lost is a link taken down and the
programs behind it killed. What is told:

    plain, latest   a hub here, two cameras there that answered their first frame and rest: how
                    many descriptors the hub has given back, of 2
    subscriber      a SUB hub here; its publisher's machine loses its power and comes back with
                    the publisher anew: what came before, and what came after
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import zmq

from processes import say

if "VANISHED" not in os.environ:
    os.environ["VANISHED"] = "1"
    alone = ["unshare", "--user", "--map-root-user", "--net"]
    os.execvp(alone[0], [*alone, sys.executable, __file__, *sys.argv[1:]])

from fastimagezmq import ImageHub

CODE = """
import sys, time, numpy as np
from fastimagezmq import ImageSender
from processes import say
way, name = sys.argv[1:]
picture = np.zeros((4, 4, 3), np.uint8)
if way == "publish":
    with ImageSender("tcp://*:5556", REQ_REP=False) as sender:
        say("began")
        while True:
            sender.send_image(name, picture)
            time.sleep(0.02)
with ImageSender("tcp://10.9.0.1:5555") as sender:
    sender.send_image(name, picture)
    say("rests")
    time.sleep(1000)
"""

# As the defaults, only shorter: milliseconds, then seconds.
QUICK = {
    zmq.TCP_MAXRT: 1000,
    zmq.TCP_KEEPALIVE_IDLE: 1,
    zmq.TCP_KEEPALIVE_INTVL: 1,
    zmq.TCP_KEEPALIVE_CNT: 2,
}
AT_MOST = 20.0


def ip(command: str, on: tuple[str, ...] | list[str] = ()) -> None:
    subprocess.run([*on, "ip", *command.split()], check=True)


class Machine:
    """The other machine, and the cable to it."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(["unshare", "--net", "sleep", "1000"])
        pid = self.process.pid
        while os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            time.sleep(0.001)
        self.there = ["nsenter", "-t", str(pid), "-n"]
        ip(f"link add here type veth peer name there netns {pid}")
        ip("addr add 10.9.0.1/24 dev here")
        ip("link set here up")
        ip("addr add 10.9.0.2/24 dev there", self.there)
        ip("link set there up", self.there)

    def program(self, way: str, name: str) -> subprocess.Popen[str]:
        command = [*self.there, sys.executable, "-c", CODE, way, name]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def lose_power(self, programs: list[subprocess.Popen[str]]) -> None:
        ip("link set there down", self.there)  # first: nobody is to say goodbye
        for one in programs:
            one.kill()
            one.communicate()
        ip("link del here")
        self.process.kill()
        self.process.wait()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def cameras(latest: bool) -> None:
    machine = Machine()
    with ImageHub("tcp://10.9.0.1:5555", latest=latest, timeout=AT_MOST, options=QUICK) as hub:
        before = descriptors()
        programs = [machine.program("send", f"camera {number}") for number in range(2)]
        for _ in programs:
            hub.recv_image()
            hub.send_reply()
        for one in programs:
            assert one.stdout is not None
            one.stdout.readline()
        connected = descriptors()
        machine.lose_power(programs)
        connected -= len(programs)  # their pipes
        deadline = time.monotonic() + AT_MOST
        while descriptors() > before and time.monotonic() < deadline:
            time.sleep(0.05)
        say(connected - descriptors())


def subscriber() -> None:
    machine = Machine()
    with ImageHub("tcp://10.9.0.2:5556", REQ_REP=False, timeout=AT_MOST, options=QUICK) as hub:
        publisher = machine.program("publish", "before")
        say(hub.recv_image()[0])
        machine.lose_power([publisher])
        machine = Machine()  # at once: what it was before, it knows nothing of
        publisher = machine.program("publish", "after")
        name = ""
        while name != "after":
            name = hub.recv_image()[0]
        say(name)
        machine.lose_power([publisher])


if sys.argv[1] == "subscriber":
    subscriber()
else:
    cameras(sys.argv[1] == "latest")
