"""The disk of a small Debian machine: systemd, Debian's kernel with WireGuard, the locked dependencies.

Built once from Debian's packages by mmdebstrap and kept outside the tree, beside the stock clients, at
``$XDG_CACHE_HOME/coordinator/machines/<digest>/`` (default ``~/.cache``). The digest is that of everything
it is made from but the packages' versions. The project itself is not on it: the playbook brings it.

As `python -m tests.support.machine_image` it builds what is missing.
"""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import clients
from tests.support.prerequisites import everything_required, missing_here, require

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements" / "runtime.txt"
QEMU = "qemu-system-x86_64"
_SUITE, _PYTHON = "bookworm", "3.11"
_PACKAGES = (
    *("systemd-sysv", "udev", "dbus", "kmod", "procps", "linux-image-cloud-amd64", "initramfs-tools"),
    *("openssh-server", "python3", "python3-apt"),
    # What config/ansible/wireguard.yaml asks for. The machine of the tests has no way to a package source.
    *("wireguard-tools", "iproute2", "nftables", "python3-venv"),
)
_GLIBC = (
    "manylinux_2_34",
    "manylinux_2_28",
    "manylinux_2_17",
    "manylinux2014",
    "manylinux2010",
    "manylinux1",
)
_BUILD_TIMEOUT_S = 1200

# $1: the root of the new system, $2: a folder with wheels/, runtime.txt and key.pub.
_CUSTOMIZE = r"""set -eu
root=$1 from=$2
cp -r "$from/wheels" "$from/runtime.txt" "$root/tmp/"
chroot "$root" python3 -m venv /opt/coordinator
chroot "$root" /opt/coordinator/bin/pip --disable-pip-version-check --quiet install \
    --no-index --find-links /tmp/wheels --require-hashes -r /tmp/runtime.txt
rm -rf "$root/tmp/wheels" "$root/tmp/runtime.txt"
install -d -m 0700 "$root/root/.ssh"
install -m 0600 "$from/key.pub" "$root/root/.ssh/authorized_keys"
# Sessions of the tests are many and short; PAM would make a login session of each.
printf 'UsePAM no\nUseDNS no\n' > "$root/etc/ssh/sshd_config.d/machine.conf"
echo gateway > "$root/etc/hostname"
echo '127.0.0.1 localhost gateway' > "$root/etc/hosts"
echo '/dev/vda / ext4 defaults 0 1' > "$root/etc/fstab"
# Addresses come with the kernel's command line.
chroot "$root" systemctl --quiet enable systemd-networkd systemd-network-generator
chroot "$root" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer systemd-networkd-wait-online
printf 'MODULES=list\nCOMPRESS=lz4\n' > "$root/etc/initramfs-tools/conf.d/machine"
printf 'virtio_pci\nvirtio_blk\next4\n' >> "$root/etc/initramfs-tools/modules"
chroot "$root" update-initramfs -u
"""


class MachineImageError(Exception):
    """The image could not be built; the text quotes the command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineImage:
    """A machine that was never switched on; nothing writes to these files."""

    folder: Path

    @property
    def disk(self) -> Path:
        """Its only disk, without partitions: ext4."""
        return self.folder / "disk"

    @property
    def kernel(self) -> Path:
        """Debian's kernel; qemu loads it."""
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """What belongs to the kernel."""
        return self.folder / "initrd"

    @property
    def key(self) -> Path:
        """The private key that root's ssh accepts. It opens nothing else."""
        return self.folder / "key"


def missing_for_machine() -> list[str]:
    """Reasons why a machine of its own cannot be started here; empty when it can."""
    needed = (QEMU, "ip", "ssh", "ssh-keygen", "wireguard-go", "wg")
    building = ("mmdebstrap", "mke2fs") if cached() is None else ()
    reasons = missing_here((*needed, *building))
    if platform.machine() != "x86_64":
        reasons.append(f"the machine is x86_64, this one {platform.machine()}")
    return reasons


def cached() -> MachineImage | None:
    """The image if it was built before, else None."""
    folder = _base() / _digest()
    return MachineImage(folder=folder) if (folder / "disk").exists() else None


def ensure() -> MachineImage:
    """The image, built now if it is not cached; of several processes at once one builds.

    Raises:
        MachineImageError: a command failed.
    """
    _base().mkdir(parents=True, exist_ok=True)
    with (_base() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = cached()
        if found is None:
            _build(_base() / _digest())
            found = cached()
    if found is None:
        raise MachineImageError("no image was left behind")
    return found


def accelerator() -> str:
    """`kvm` where this machine's processor can, else `tcg`: emulation, five to fifteen times slower.

    That /dev/kvm exists is not enough: inside some virtual machines it only starts kernels made for it. The
    processor says neither vmx nor svm there.
    """
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    able = flags is not None and not {"vmx", "svm"}.isdisjoint(flags[1].split())
    return "kvm" if able and os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg"


def require_machine() -> MachineImage:
    """The image, where the tests on a machine of their own run: everywhere but in a CI without KVM.

    This is the one exception from "everything required fails when it is missing": emulated they take
    minutes of two processors. COORDINATOR_EMULATE=1 has them run there, too.
    """
    what = "tests of a gateway on a machine of its own"
    if everything_required() and accelerator() != "kvm" and os.environ.get("COORDINATOR_EMULATE") != "1":
        pytest.skip(f"NOT TESTED: {what} need KVM in a CI run, or COORDINATOR_EMULATE=1 (minutes)")
    require(missing_for_machine(), what)
    return ensure()


def _base() -> Path:
    return clients.cache_dir().with_name("machines")


def _digest() -> str:
    recipe = "\n".join((_SUITE, *_PACKAGES, _CUSTOMIZE)).encode()
    return hashlib.sha256(recipe + REQUIREMENTS.read_bytes()).hexdigest()[:16]


def _build(final: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".build-", dir=_base()) as name:
        scratch = Path(name)
        # mmdebstrap wants to reach the folder as other users, too.
        scratch.chmod(0o755)
        made, root = scratch / "made", scratch / "root"
        made.mkdir()
        _wheels(scratch / "wheels")
        shutil.copy(REQUIREMENTS, scratch)
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "machine", "-f", str(made / "key"))
        shutil.copy(made / "key.pub", scratch)
        hook = scratch / "customize"
        hook.write_text(_CUSTOMIZE)
        _run(
            *(
                "mmdebstrap",
                "--quiet",
                "--variant=apt",
                "--format=directory",
                f"--include={','.join(_PACKAGES)}",
            ),
            *(f'--customize-hook=sh "{hook}" "$1" "{scratch}"', _SUITE, str(root)),
        )
        for source, target in (("vmlinuz-*", "vmlinuz"), ("initrd.img-*", "initrd")):
            shutil.copy(next((root / "boot").glob(source)), made / target)
        with (made / "disk").open("wb") as disk:
            disk.truncate(1536 << 20)
        _run("mke2fs", "-q", "-F", "-t", "ext4", "-d", str(root), str(made / "disk"))
        if final.exists():
            shutil.rmtree(final)
        made.rename(final)


def _wheels(folder: Path) -> None:
    """What pip would install on the machine, fetched by the pip of this one."""
    platforms = [f"--platform={name}_x86_64" for name in _GLIBC]
    _run(
        *(
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "download",
            "--quiet",
            "--require-hashes",
        ),
        *("-r", str(REQUIREMENTS), "-d", str(folder), "--only-binary=:all:", f"--python-version={_PYTHON}"),
        *platforms,
    )


def _run(*command: str) -> None:
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=environment,
            timeout=_BUILD_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as late:
        raise MachineImageError(f"`{command[0]}` took over {_BUILD_TIMEOUT_S} s") from late
    if done.returncode != 0:
        raise MachineImageError(f"`{' '.join(command)}` failed:\n{done.stderr[-3000:]}")


def main() -> int:
    """Build what is missing and say where it is."""
    missing = missing_for_machine()
    if missing:
        print(f"Error: no machine can be built here: {'; '.join(missing)}", file=sys.stderr)
        return 1
    began = time.monotonic()
    try:
        image = ensure()
    except MachineImageError as problem:
        print(f"Error: {problem}", file=sys.stderr)
        return 1
    print(f"machine: {image.folder} ({time.monotonic() - began:.0f} s), runs with {accelerator()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
