"""The disk of one node: faults on request, and what a power cut makes of it.

A node runs with preload/ loaded, which shares a page with us (preload/page.h). We write faults into it;
the node notes there what it has not synced yet (preload/journal.h). `cut_power`, called when the node has
been killed, undoes that: all of it, single sectors, or all behind a tear.
"""
import errno
import mmap
import os
import shutil
import struct

MAGIC = 0x3153304148434b4d
PAGE_BYTES, ARENA_BYTES, ARENAS_COUNT = 4096, 256 << 20, 2
SECTOR_BYTES = 512
FIELDS = {  # name: (offset, format), as in preload/page.h
    "sync_error": (8, "<i"), "sync_errors_left": (12, "<i"),
    "write_error": (16, "<i"), "write_errors_left": (20, "<i"),
    "short_writes_left": (24, "<i"), "is_full": (28, "<i"),
    "sync_delay_us": (32, "<i"), "is_lying": (36, "<i"), "clock_offset_us": (40, "<q"),
    "writes_count": (48, "<Q"), "syncs_count": (56, "<Q"), "faults_count": (64, "<Q"),
    "unmodelled_count": (72, "<Q"),
    "active": (80, "<Q"), "tail_0": (88, "<Q"), "tail_1": (96, "<Q"),
}
FAULTS = ("sync_error", "sync_errors_left", "write_error", "write_errors_left", "short_writes_left",
          "is_full", "sync_delay_us", "clock_offset_us")
RECORD = struct.Struct("<IIIIQQQQQQQ")
WRITE, CREATE, RENAME, UNLINK, MKDIR = range(1, 6)
PENDING, DONE, SETTLED = range(1, 4)
WAYS = ("all", "sectors", "torn", "none")


class Record:
    def __init__(self, head, tail):
        (_, self.kind, self.state, _, self.serial, self.owner, self.subject, self.attic,
         self.offset, self.count, self.old_bytes) = head
        if self.kind == WRITE:
            self.replaced = tail
        else:
            self.path, self.to = (os.fsdecode(p) for p in tail.split(b"\0")[:2])


class Disk:
    """Of one data directory. `directory` is where the page and the attic are kept."""

    def __init__(self, directory, data, library):
        self.directory, self.data, self.preloaded = directory, data, library
        self.attic = os.path.join(directory, "attic")
        os.makedirs(self.attic, exist_ok=True)
        self.fd = os.memfd_create("minikv-chaos")  # goes with us, however we end
        self.page_path = f"/proc/{os.getpid()}/fd/{self.fd}"
        os.ftruncate(self.fd, PAGE_BYTES + ARENAS_COUNT * ARENA_BYTES)
        os.pwrite(self.fd, struct.pack("<Q", MAGIC), 0)
        self.page = mmap.mmap(self.fd, 0)
        self.usual_delay_us = 0  # of a sync, when nothing is wrong with it

    def close(self):
        self.page.close()
        os.close(self.fd)

    def environment(self):
        return {"LD_PRELOAD": self.preloaded, "CHAOS_PAGE": self.page_path, "CHAOS_DATA": self.data,
                "CHAOS_ATTIC": self.attic, "ASAN_OPTIONS": "verify_asan_link_order=0"}

    def get(self, name):
        offset, form = FIELDS[name]
        return struct.unpack_from(form, self.page, offset)[0]

    def set(self, **values):
        for name, value in values.items():
            offset, form = FIELDS[name]
            struct.pack_into(form, self.page, offset, value)

    # ---- faults ----

    def fail_syncs(self, count=1, error=errno.EIO):
        self.set(sync_error=error, sync_errors_left=count)

    def fail_writes(self, count=1, error=errno.EIO):
        self.set(write_error=error, write_errors_left=count)

    def heal(self):
        """It works again. A disk that lies goes on lying: nobody knows."""
        self.set(**{name: 0 for name in FAULTS})
        self.set(sync_delay_us=self.usual_delay_us)

    def wipe(self):
        """An empty disk in its place."""
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.rmtree(self.attic)
        os.makedirs(self.attic)
        self._forget()

    def _forget(self):
        self.set(active=0, tail_0=0, tail_1=0)

    # ---- power ----

    def unsynced(self):
        """What the disk would not have, in the order in which it was done."""
        active = self.get("active")
        at = PAGE_BYTES + active * ARENA_BYTES
        end = at + self.get(f"tail_{active}")
        records = []
        while at < end:
            head = RECORD.unpack_from(self.page, at)
            body = at + RECORD.size
            if head[2] != SETTLED:
                records.append(Record(head, bytes(self.page[body:body + head[3]])))
            at += head[0]
        return records

    def cut_power(self, way, random):
        """The node is dead. Returns (writes, names): how many were not synced and are undone."""
        records = self.unsynced()
        keep = self._keep_of(way, records, random)
        writes = [r for r in records if r.kind == WRITE]
        names = [r for r in records if r.kind != WRITE]
        undone = self._undo_writes(writes, keep, random)
        if way == "none":
            kept = len(names)
        else:  # a journal of the file system keeps the first of them, or none
            kept = 0 if way == "all" else random.randrange(len(names) + 1)
        for record in reversed(names[kept:]):
            self._undo_name(record)
        shutil.rmtree(self.attic)
        os.makedirs(self.attic)
        self._forget()
        return undone, len(names) - kept

    @staticmethod
    def _keep_of(way, records, random):
        """A function that says whether a sector of a write reached the disk."""
        if way == "all":
            return lambda record, sector: False
        if way == "none":
            return lambda record, sector: True
        if way == "sectors":
            share, salt = random.random(), random.getrandbits(32)
            return lambda record, sector: \
                hash((salt, record.owner, sector)) % 1000 < share * 1000
        writes = [r for r in records if r.kind == WRITE]
        torn = random.choice(writes) if writes else None
        cut = random.randrange(torn.count // SECTOR_BYTES + 1) if torn else 0
        return lambda record, sector: record.serial < torn.serial or (
            record is torn and sector < torn.offset // SECTOR_BYTES + cut)

    def _files(self):
        """{inode: path} of all that has a name, or had one until the last sync."""
        found = {}
        for top in (self.attic, self.data):
            for root, _, names in os.walk(top):
                for name in names:
                    path = os.path.join(root, name)
                    found[os.stat(path).st_ino] = path
        return found

    def _undo_writes(self, writes, keep, random):
        files, sizes, undone = self._files(), {}, 0
        for record in reversed(writes):
            path = files.get(record.owner)
            if path is None:
                continue  # nothing has a name of it: it is gone in any case
            lost = self._undo_write(path, record, keep)
            undone += lost > 0
            if lost == record.count and record.old_bytes < record.offset + record.count:
                sizes[path] = record.old_bytes
        for path, size in sizes.items():
            if random.random() < 0.5:  # else the size had been written, and the bytes had not
                self._cut_end(path, size)
        return undone

    @staticmethod
    def _cut_end(path, size):
        """Gives up the zeros behind `size` again."""
        with open(path, "r+b") as file:
            file.seek(size)
            if not file.read().strip(b"\0"):
                file.truncate(size)

    @staticmethod
    def _undo_write(path, record, keep):
        """Puts back what was there, sector by sector. Returns how many bytes."""
        lost = 0
        with open(path, "r+b") as file:
            at, end = record.offset, record.offset + record.count
            while at < end:
                stop = min((at // SECTOR_BYTES + 1) * SECTOR_BYTES, end)
                if not keep(record, at // SECTOR_BYTES):
                    old = record.replaced[at - record.offset:stop - record.offset]
                    file.seek(at)
                    file.write(old.ljust(stop - at, b"\0"))
                    lost += stop - at
                at = stop
        return lost

    def _undo_name(self, record):
        kept = os.path.join(self.attic, str(record.attic))
        if record.kind in (CREATE, MKDIR):
            if os.path.lexists(record.path):
                (os.rmdir if record.kind == MKDIR else os.unlink)(record.path)
        elif record.kind == RENAME:
            if os.path.lexists(record.to) and os.stat(record.to).st_ino == record.subject:
                os.rename(record.to, record.path)
        if record.attic and os.path.exists(kept):
            lost = record.to if record.kind == RENAME else record.path
            if not os.path.lexists(lost):
                os.rename(kept, lost)
