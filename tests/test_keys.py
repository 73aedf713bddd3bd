"""Keys, their files, and lists of them; no secret is ever shown."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zmq
import zmq.auth

from fastimagezmq import (
    ImageHub,
    ImageSender,
    PublicKey,
    SecretKey,
    Security,
    SecurityError,
    authorized,
    cli,
    keys,
)
from fastimagezmq.authorized import ListedKeys
from fastimagezmq.security import networks, security_of
from processes import beside

if TYPE_CHECKING:
    from collections.abc import Callable

from rings import Ring

IMAGE = np.zeros((4, 4, 3), np.uint8)
ANY = "tcp://127.0.0.1:*"
LIMITS = {zmq.RCVTIMEO: 20_000, zmq.SNDTIMEO: 20_000}

posix = pytest.mark.skipif(os.name != "posix", reason="permissions of files are POSIX's")


@pytest.fixture
def ring(tmp_path: Path) -> Ring:
    return Ring(tmp_path)


# --- keys and their files --------------------------------------------------------------


def test_key_files(tmp_path: Path) -> None:
    public, secret = keys.generate(tmp_path / "front door")
    assert (public, secret) == (f"{tmp_path}/front door.pub", f"{tmp_path}/front door.key")
    if os.name == "posix":
        assert os.stat(secret).st_mode & 0o777 == 0o600
        assert os.stat(public).st_mode & 0o022 == 0
    # Other programs read them, too.
    key = SecretKey.load(secret)
    own, hidden = zmq.auth.load_certificate(secret)
    assert own == key.public.text.encode()
    assert hidden is not None
    assert zmq.curve_public(hidden) == own
    assert zmq.auth.load_certificate(public) == (own, None)
    assert PublicKey.load(public) == key.public
    assert hidden not in Path(public).read_bytes()


@posix
def test_the_mode_does_not_hang_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        _, secret = keys.generate(tmp_path / "a")
    finally:
        os.umask(before)
    assert os.stat(secret).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("there", ["camera.key", "camera.pub"])
def test_nothing_is_overwritten(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(SecurityError, match="is there already, and keys are not overwritten"):
        keys.generate(tmp_path / "camera")
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


def test_pyzmqs_certificates_are_read(tmp_path: Path) -> None:
    public, secret = zmq.auth.create_certificates(tmp_path, "theirs", {"place": "porch"})
    Path(secret).chmod(0o600)
    key = SecretKey.load(secret)
    assert PublicKey.load(public) == key.public


def test_a_public_key_is_a_value(ring: Ring) -> None:
    key = PublicKey(ring.public("hub"))
    assert key == PublicKey.load(ring.pub("hub"))
    assert len({key, PublicKey.load(ring.pub("hub")), PublicKey.load(ring.pub("camera"))}) == 2
    assert eval(repr(key)) == key
    assert pickle.loads(pickle.dumps(key)) == key
    with pytest.raises(AttributeError):
        key.text = "another"
    assert key != key.text


def broken_secret(ring: Ring) -> None:
    text = ring.key("hub").read_text()
    ring.key("hub").write_text(text.replace(ring.public("hub"), ring.public("camera")))


ERRORS: dict[str, tuple[Callable[[Ring], object], str]] = {
    "no secret file": (
        lambda ring: SecretKey.load(ring.key("none")),
        "cannot read the key file .*none.key: No such file or directory",
    ),
    "no public file": (
        lambda ring: PublicKey.load(ring.pub("none")),
        "cannot read the key file .*none.pub: No such file or directory",
    ),
    "a folder": (
        lambda ring: SecretKey.load(ring.list),
        "cannot read the key file .*authorized: Is a directory",
    ),
    "others may read it": (
        lambda ring: (ring.key("hub").chmod(0o640), SecretKey.load(ring.key("hub"))),
        "may be read by others than its owner: say 'chmod 600 .*hub.key'",
    ),
    "all may write to a public key": (
        lambda ring: (ring.pub("hub").chmod(0o666), PublicKey.load(ring.pub("hub"))),
        "written to by everybody on this machine: say 'chmod o-w .*hub.pub'",
    ),
    "all may write to the list": (
        lambda ring: (ring.list.chmod(0o777), ListedKeys(ring.list)),
        "written to by everybody on this machine: say 'chmod o-w .*authorized'",
    ),
    "public where secret is wanted": (
        lambda ring: SecretKey.load(
            shutil.copy(ring.pub("hub"), ring.key("x"))
            and (ring.key("x").chmod(0o600), ring.key("x"))[1]
        ),
        "holds no secret key: give the .key file that 'fastimagezmq keygen' has written",
    ),
    "secret where public is wanted": (
        lambda ring: PublicKey.load(ring.key("hub")),
        "holds a secret key, which stays on the machine it was made on",
    ),
    "a damaged secret": (
        lambda ring: (broken_secret(ring), SecretKey.load(ring.key("hub"))),
        "the secret key in .*hub.key is damaged",
    ),
    "no key at all": (
        lambda ring: (ring.pub("hub").write_text("hello\n"), PublicKey.load(ring.pub("hub"))),
        "hub.pub holds 0 public keys, and one is wanted",
    ),
    "half a key": (
        lambda ring: (
            ring.pub("hub").write_text('\n  public-key = "abc"\n'),
            PublicKey.load(ring.pub("hub")),
        ),
        "hub.pub, line 2: what stands after 'public-key =' is no key",
    ),
    "a key of wrong characters": (lambda _: PublicKey("~" * 40), "this is no public key"),
    "a key that is too large a number": (lambda _: PublicKey("#" * 40), "this is no public key"),
    "a huge file": (
        lambda ring: (
            ring.pub("hub").write_bytes(b"#" * (1 << 20) + b"\n"),
            PublicKey.load(ring.pub("hub")),
        ),
        "hub.pub is no file of keys: it is larger than 1048576 bytes",
    ),
    "no list": (
        lambda ring: Security.binding(ring.key("hub"), ring.folder / "none"),
        "there is no list of public keys at .*none: add the first one with 'fastimagezmq authorize",
    ),
    "a list with a secret": (
        lambda ring: (
            shutil.copy(ring.key("hub"), ring.list / "hub.pub"),
            ListedKeys(ring.list),
        ),
        "hub.pub holds a secret key",
    ),
    "a list with rubbish": (
        lambda ring: (
            (ring.list / "bad.pub").write_text("public-key = rubbish"),
            ListedKeys(ring.list),
        ),
        "bad.pub, line 1",
    ),
    "own key alone, to connect": (
        lambda ring: security_of(ring.key("hub"), binds=False),
        r'give security=\("own.key", "other.pub"\)',
    ),
    "for the other end, binding": (
        lambda ring: security_of(Security.connecting(*ring.connecting()), binds=True),
        "this end binds, so it needs Security.binding",
    ),
    "for the other end, connecting": (
        lambda ring: security_of(Security.binding(*ring.binding()), binds=False),
        "this end connects, so it needs Security.connecting",
    ),
    "no ranges": (lambda _: networks([]), "allow= names no addresses"),
    "no range": (lambda _: networks(["cellar"]), "'cellar' does not appear to be"),
    "host bits": (lambda _: networks("10.0.0.1/8"), "has host bits set"),
    "allow, connecting": (
        lambda _: ImageSender(allow="127.0.0.1"),
        "allow= is for the end that binds, and this ImageSender connects",
    ),
    "allow, a SUB hub": (
        lambda _: ImageHub(REQ_REP=False, allow="127.0.0.1"),
        "allow= is for the end that binds, and this ImageHub connects",
    ),
    "inproc": (
        lambda ring: ImageHub("inproc://x", security=ring.binding()),
        "security= is for tcp:// and ipc:// addresses",
    ),
    "allow, ipc": (
        lambda ring: ImageHub(f"ipc://{ring.folder}/x", allow="127.0.0.1"),
        "has no IP addresses that allow= could look at",
    ),
    "an address without a key": (
        lambda ring: ImageSender(
            "tcp://127.0.0.1:1",
            security=(ring.key("camera"), {"tcp://127.0.0.1:2": ring.pub("hub")}),
        ),
        "no public key was given for tcp://127.0.0.1:1",
    ),
    "to write where one cannot": (
        lambda ring: keys.generate(ring.folder / "none" / "x"),
        "cannot write .*x.key: No such file",
    ),
}


@posix
@pytest.mark.parametrize("name", list(ERRORS))
def test_what_is_wrong_is_told_and_no_secret_with_it(ring: Ring, name: str) -> None:
    provoke, sentence = ERRORS[name]
    secrets = [ring.secret(one) for one in ("hub", "camera", "stranger")]
    with pytest.raises(SecurityError, match=sentence) as caught:
        provoke(ring)
    assert isinstance(caught.value, ValueError)
    below = caught.tb.tb_next  # this function's own variables do not count
    told = traceback.TracebackException(caught.type, caught.value, below, capture_locals=True)
    shown = "".join(told.format())
    assert not [secret for secret in secrets if secret in shown]


@pytest.mark.parametrize("given", [False, 5, ("a", "b", "c"), ["a", "b"], b"hub.key"])
def test_what_security_cannot_be(given: Any) -> None:
    with pytest.raises(TypeError, match="security= takes"):
        ImageHub(ANY, security=given)


def test_secrets_do_not_show(ring: Ring) -> None:
    secret = ring.secret("hub")
    key = SecretKey.load(ring.key("hub"))
    security = Security.binding(key, ring.list)
    for thing in (key, security, key._secret, Security.connecting(key, ring.pub("camera"))):
        for text in (repr(thing), str(thing), f"{thing}"):
            assert secret not in text
    for thing in (key, security, key._secret):
        with pytest.raises(TypeError):
            pickle.dumps(thing)
        with pytest.raises(TypeError):
            copy.deepcopy(thing)
    with pytest.raises(AttributeError):
        key.public = PublicKey.load(ring.pub("camera"))
    with pytest.raises(AttributeError):
        security.authorized = None


@pytest.mark.parametrize("option", ["CURVE_SECRETKEY", zmq.CURVE_SECRETKEY, 49, "PLAIN_PASSWORD"])
def test_a_secret_given_as_an_option_is_not_shown(option: Any, ring: Ring) -> None:
    secret = ring.secret("hub") + "x"
    value: Any = [secret] if option == "PLAIN_PASSWORD" else secret.encode()
    with pytest.raises(ValueError, match="cannot be set to what was given") as caught:
        ImageHub(ANY, options={option: value})
    assert secret not in str(caught.value)


# --- the list --------------------------------------------------------------------------


def test_the_list_is_as_it_is_now(ring: Ring) -> None:
    camera, stranger = ring.public("camera"), ring.public("stranger")
    listed = ListedKeys(ring.list)
    for _ in range(20):
        assert (listed.admits(camera), listed.admits(stranger), len(listed)) == (True, False, 1)
        ring.authorize("stranger")
        assert listed.admits(stranger)
        ring.revoke("camera")
        assert (listed.admits(camera), listed.admits(stranger)) == (False, True)
        ring.revoke("stranger")
        assert not listed.admits(stranger)
        ring.authorize("camera")
        assert listed.admits(camera)


def test_a_list_in_one_file(ring: Ring) -> None:
    file = ring.folder / "keys.txt"
    file.write_text("# nobody yet\n")
    listed = ListedKeys(file)
    for _ in range(3):
        for name in ("camera", "stranger", "hub"):
            assert not listed.admits(ring.public(name))
            assert authorized.authorize(ring.pub(name), file)
            assert not authorized.authorize(ring.pub(name), file)
            assert listed.admits(ring.public(name))
        assert len(listed) == 3
        assert authorized.revoke(ring.pub("stranger"), file)
        assert not authorized.revoke(ring.pub("stranger"), file)
        assert not listed.admits(ring.public("stranger"))
        assert listed.admits(ring.public("camera"))
        assert listed.admits(ring.public("hub"))
        for name in ("camera", "hub"):
            assert authorized.revoke(ring.pub(name), file)
    assert file.read_text() == "# nobody yet"
    # Lines that stand together: one of them goes alone.
    text = "".join(f"public-key = {ring.public(name)}\n" for name in ("camera", "hub"))
    file.write_text(text)
    assert authorized.revoke(ring.pub("camera"), file)
    assert file.read_text() == f"public-key = {ring.public('hub')}\n"
    assert [path.name for path in ring.folder.iterdir() if path.suffix == ".new"] == []


def test_a_file_that_is_edited_in_place_counts_at_once(ring: Ring) -> None:
    """Also within one tick of the file system's clock, with the size as it was."""
    listed = ListedKeys(ring.list)
    file = ring.list / "camera.pub"
    text = file.read_text()
    other = text.replace(ring.public("camera"), ring.public("stranger"))
    for _ in range(200):
        with open(file, "r+", encoding="ascii") as opened:
            opened.write(other)
        assert not listed.admits(ring.public("camera"))
        assert listed.admits(ring.public("stranger"))
        with open(file, "r+", encoding="ascii") as opened:
            opened.write(text)
        assert listed.admits(ring.public("camera"))
        assert not listed.admits(ring.public("stranger"))


def test_a_settled_list_is_not_read_again(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorized, "_SETTLED_NS", -1)
    listed = ListedKeys(ring.list)
    reads = []
    monkeypatch.setattr(authorized, "_read_file", reads.append)
    assert all(listed.admits(ring.public("camera")) for _ in range(10))
    assert not listed.admits(ring.public("stranger"))
    assert reads == []


def test_a_list_that_cannot_be_read_lets_nobody_in(ring: Ring) -> None:
    told: list[str] = []
    camera = ring.public("camera")
    listed = ListedKeys(ring.list, told.append)
    away = ring.folder / "away"
    for _ in range(2):
        assert listed.admits(camera)
        ring.list.rename(away)
        assert not any(listed.admits(camera) for _ in range(5))
        away.rename(ring.list)
        assert listed.admits(camera)
    assert len(told) == 2
    assert told[0].startswith(f"there is no list of public keys at {ring.list}")
    # One bad file lets in nobody itself, and leaves the others alone.
    ring.authorize("stranger")
    (ring.list / "camera.pub").write_text("public-key = 5")
    assert listed.admits(ring.public("stranger"))
    assert not listed.admits(camera)
    assert len(told) == 3
    assert told[2].endswith("camera.pub, line 1: what stands after 'public-key =' is no key")


@posix
def test_a_list_that_all_may_write_to_lets_nobody_new_in(ring: Ring) -> None:
    told: list[str] = []
    listed = ListedKeys(ring.list, told.append)
    ring.list.chmod(0o777)
    (ring.list / "stranger.pub").write_bytes(ring.pub("stranger").read_bytes())
    assert not listed.admits(ring.public("stranger"))
    assert "chmod o-w" in told[0]


def test_another_key_of_the_same_name_is_not_overwritten(ring: Ring) -> None:
    os.remove(ring.key("camera"))
    os.remove(ring.pub("camera"))
    ring.make("camera")
    with pytest.raises(SecurityError, match="is there already"):
        authorized.authorize(ring.pub("camera"), ring.list)


def test_the_default_list_is_in_the_users_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("APPDATA", str(tmp_path))
    assert authorized.default_path() == tmp_path / "fastimagezmq" / "authorized"
    ring = Ring(tmp_path)
    with pytest.raises(SecurityError, match="there is no list"):
        ImageHub(ANY, security=ring.key("hub"))
    assert cli.main(["authorize", str(ring.pub("camera"))]) == 0
    with ImageHub(ANY, security=ring.key("hub")):
        pass


# --- the commands ----------------------------------------------------------------------


def command(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "fastimagezmq", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"XDG_CONFIG_HOME": str(cwd), "APPDATA": str(cwd)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_from_keygen_to_a_frame_and_to_revoke(tmp_path: Path) -> None:
    printed = ""
    for name in ("hub", "camera"):
        done = command("keygen", name, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == (
            f"{name}.key: secret, it stays on this machine\n"
            f"{name}.pub: for the other end's machine\n"
        )
        printed += done.stdout
    done = command("keygen", "camera", cwd=tmp_path)
    assert done.returncode == 1
    assert "camera.key is there already" in done.stderr
    printed += done.stderr
    listed = tmp_path / "fastimagezmq" / "authorized"
    assert cli.main(["authorize", str(tmp_path / "camera.pub"), "--to", str(listed)]) == 0
    done = command("authorize", "camera.key", cwd=tmp_path)
    assert done.returncode == 1
    assert "holds a secret key" in done.stderr
    printed += done.stderr + done.stdout
    with (
        ImageHub(ANY, security=(tmp_path / "hub.key", listed), options=LIMITS) as hub,
        ImageSender(
            hub.zmq_socket.bound[0], security=(tmp_path / "camera.key", tmp_path / "hub.pub")
        ) as sender,
    ):
        with beside(lambda: sender.send_image("cam", IMAGE)) as reply:
            assert np.array_equal(hub.recv_image()[1], IMAGE)
            hub.send_reply()
        assert reply.result() == b"OK"
        # By its name on the list: the file itself may be gone.
        done = command("revoke", "camera", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, f"camera: taken off the list {listed}\n")
        with beside(lambda: sender.send_image("cam", IMAGE)) as reply:
            hub.zmq_socket.rcvtimeo = 500
            with pytest.raises(zmq.Again):
                hub.recv_image()
        assert reply.result() == b"ERROR: the hub does not let this sender in any more"
    for name in ("hub", "camera"):
        secret = zmq.auth.load_certificate(tmp_path / f"{name}.key")[1]
        assert secret is not None
        assert secret.decode() not in printed


def test_the_commands(ring: Ring, capsys: pytest.CaptureFixture[str]) -> None:
    many = [str(ring.pub(name)) for name in ("camera", "stranger")]
    assert cli.main(["authorize", *many, "--to", str(ring.list)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{many[0]}: is already on the list {ring.list}",
        f"{many[1]}: added to the list {ring.list}",
    ]
    assert cli.main(["authorize", "--revoke", many[0], "--to", str(ring.list)]) == 0
    assert cli.main(["revoke", many[1], "--from", str(ring.list)]) == 0
    assert cli.main(["revoke", many[1], "--from", str(ring.list)]) == 1
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"was not on the list {ring.list}")
    assert list(ring.list.iterdir()) == []
    assert cli.main(["revoke", str(ring.folder / "none"), "--from", str(ring.list)]) == 1
    assert cli.main(["revoke", many[0], "--from", str(ring.folder / "none")]) == 1
    assert "there is no list" in capsys.readouterr().err
    # A list that is not there yet becomes a folder.
    assert cli.main(["authorize", many[0], "--to", str(ring.folder / "new" / "list")]) == 0
    assert [path.name for path in (ring.folder / "new" / "list").iterdir()] == ["camera.pub"]
