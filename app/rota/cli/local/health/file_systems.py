"""Which file system a file is on: Linux says so in /proc/mounts."""

from pathlib import Path

_MOUNTS = Path("/proc/mounts")
_NETWORK = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "glusterfs", "lustre", "ocfs2", "gfs2")
_NETWORK_BY_FUSE = ("sshfs", "s3fs", "gcsfuse", "glusterfs", "rclone", "davfs", "ceph", "juicefs")


def file_system_of(path: Path, mounts: Path = _MOUNTS) -> str:
    """Return the kind of the file system that a file is, or would be, on; empty if that is not known."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found, longest = "", -1
    resolved = path.resolve()
    for line in lines:
        _, place, kind, *_ = line.split(" ")
        point = Path(place.replace("\\040", " "))
        # Of two on one place, the later one hides the other.
        if resolved.is_relative_to(point) and len(point.parts) >= longest:
            found, longest = kind, len(point.parts)
    return found


def is_network(kind: str) -> bool:
    """Return whether a file system is on other machines."""
    if kind.startswith("fuse."):
        return kind.removeprefix("fuse.").startswith(_NETWORK_BY_FUSE)
    return kind.startswith(_NETWORK)
