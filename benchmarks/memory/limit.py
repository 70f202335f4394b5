"""A limit on memory for this process and those that it starts."""
import os
import pathlib


class MemoryLimit:
    """A cgroup that this process and those it starts are in for a while, where one can be made; `what` says which it was."""

    def __init__(self, gib):
        self.folder, self.home, self.peak, self.what = None, None, None, "no cgroup's limit could be set: the sampled figure is the check"
        unified = pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists()
        root = pathlib.Path("/sys/fs/cgroup" if unified else "/sys/fs/cgroup/memory")
        files = ("memory.max", "memory.swap.max") if unified else ("memory.limit_in_bytes", None)
        folder = root / f"ds_memory_bench.{os.getpid()}"
        try:
            self.home = next(root / line.split(":", 2)[2].lstrip("/") for line in open("/proc/self/cgroup").read().splitlines()
                             if (line.startswith("0::") if unified else "memory" in line.split(":")[1].split(",")))
            folder.mkdir()
            self.folder = folder
            (folder / files[0]).write_text(str(int(gib * 2**30)))
            swap = len(open("/proc/swaps").readlines()) > 1
            if swap and files[1] is None:
                raise OSError("swap is on")
            if swap:
                (folder / files[1]).write_text("0")
            self.what = f"under a cgroup's limit of {gib:g} GiB without swap, page cache included"
        except (OSError, StopIteration):
            self.drop()

    def drop(self):
        if self.folder:
            self.folder.rmdir()
        self.folder = None

    def __enter__(self):
        if self.folder:
            try:
                (self.folder / "cgroup.procs").write_text(str(os.getpid()))
            except OSError:
                self.what = "no cgroup's limit could be set: the sampled figure is the check"
                self.drop()

    def __exit__(self, *_):
        if self.folder:
            self.peak = self.peak_bytes()
            (self.home / "cgroup.procs").write_text(str(os.getpid()))
            self.drop()

    def peak_bytes(self):
        """Of all that the limit counts, page cache included, where the kernel says so."""
        for name in ("memory.max_usage_in_bytes", "memory.peak"):
            if (self.folder / name).exists():
                return int((self.folder / name).read_text())
        return None
