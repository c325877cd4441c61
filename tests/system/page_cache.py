"""Which pages of a file the kernel keeps in memory."""
import ctypes
import mmap
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                       ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
_MAP_FAILED = ctypes.c_void_p(-1).value


def can_bypass(path):
    """Whether the file system lets anybody write around the page cache."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        return False
    return True


def cached_bytes(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        count = os.fstat(fd).st_size
        if count == 0:
            return 0
        at = _libc.mmap(None, count, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
        if at == _MAP_FAILED:
            raise OSError(ctypes.get_errno(), "mmap")
        try:
            pages = ctypes.create_string_buffer(-(-count // mmap.PAGESIZE))
            if _libc.mincore(at, count, pages) != 0:
                raise OSError(ctypes.get_errno(), "mincore")
        finally:
            _libc.munmap(at, count)
    finally:
        os.close(fd)
    return sum(page & 1 for page in pages.raw) * mmap.PAGESIZE
