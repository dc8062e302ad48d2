"""What a mounted directory does and does not do; runs inside a guest: `python3 suite.py DIRECTORY [CHECK…]`.

Prints one JSON object: check → "yes", or why not. Standard library only, Python 3.6 and later.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import mmap
import os
import shutil
import socket
import stat
import sys
import threading

MIB = 1 << 20
MANY = 10000
CHECKS = {}


def check(function):
    CHECKS[function.__name__] = function
    return function


def put(path, content=b"content"):
    with open(path, "wb") as file:
        file.write(content)
    return path


def get(path):
    with open(path, "rb") as file:
        return file.read()


def expect(condition, sentence):
    if not condition:
        raise AssertionError(sentence)


@check
def read_and_write(d):
    put(d + "/f", b"first")
    expect(get(d + "/f") == b"first", "reads something else")
    put(d + "/f", b"2")
    expect(get(d + "/f") == b"2", "is not cut off")


@check
def append(d):
    put(d + "/f", b"a\n")
    with open(d + "/f", "ab") as file:
        file.write(b"b\n")
    expect(get(d + "/f") == b"a\nb\n", "overwrites")


@check
def rename(d):
    put(d + "/old", b"old")
    put(d + "/new", b"new")
    os.rename(d + "/old", d + "/new")
    expect(os.listdir(d) == ["new"] and get(d + "/new") == b"old", f"leaves {os.listdir(d)}")
    os.mkdir(d + "/folder")
    put(d + "/folder/f")
    os.rename(d + "/folder", d + "/moved")
    expect(get(d + "/moved/f") == b"content", "loses what is in a folder")


@check
def unlink(d):
    put(d + "/f")
    os.unlink(d + "/f")
    expect(os.listdir(d) == [], "leaves it")


@check
def unlink_while_open(d):
    with open(put(d + "/f"), "r+b") as file:
        os.unlink(d + "/f")
        file.write(b"CONTENT")
        file.seek(0)
        expect(file.read() == b"CONTENT", "loses it")
        os.fstat(file.fileno())
        os.ftruncate(file.fileno(), 1)


@check
def mkdir_and_rmdir(d):
    os.makedirs(d + "/a/b/c")
    with contextlib.suppress(OSError):
        os.rmdir(d + "/a")
    expect(os.path.isdir(d + "/a/b/c"), "removes a folder that is not empty")
    os.removedirs(d + "/a/b/c")
    os.makedirs(d, exist_ok=True)


@check
def symbolic_link(d):
    put(d + "/f")
    os.symlink("f", d + "/link")
    expect(os.readlink(d + "/link") == "f" and get(d + "/link") == b"content", "leads elsewhere")
    os.symlink("/nowhere/at/all", d + "/dangling")
    expect(os.path.islink(d + "/dangling") and not os.path.exists(d + "/dangling"), "is followed")


@check
def hard_link(d):
    put(d + "/f")
    os.link(d + "/f", d + "/g")
    put(d + "/g", b"other")
    expect(get(d + "/f") == b"other", "is a copy")
    expect(os.stat(d + "/f").st_nlink == 2, "is not counted")
    expect(os.stat(d + "/f").st_ino == os.stat(d + "/g").st_ino, "has another inode number")


@check
def change_mode(d):
    put(d + "/f")
    for mode in (0o600, 0o755, 0o444, 0o640):
        os.chmod(d + "/f", mode)
        expect(stat.S_IMODE(os.stat(d + "/f").st_mode) == mode, f"stays {os.stat(d + '/f').st_mode:o}")


@check
def change_times(d):
    put(d + "/f")
    os.utime(d + "/f", ns=(10**18, 123456789 * 10**9 + 987654321))
    expect(os.stat(d + "/f").st_mtime_ns == 123456789 * 10**9 + 987654321, "are rounded")


@check
def owner_is_the_user(d):
    put(d + "/f")
    found = os.stat(d + "/f")
    expect((found.st_uid, found.st_gid) == (os.getuid(), os.getgid()), f"is {found.st_uid}:{found.st_gid}")


@check
def large_file(d):
    block = os.urandom(MIB)
    digest, again = hashlib.sha256(), hashlib.sha256()
    with open(d + "/f", "wb") as file:
        for _ in range(64):
            digest.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    with open(d + "/f", "rb") as file:
        for piece in iter(lambda: file.read(MIB), b""):
            again.update(piece)
    expect(digest.digest() == again.digest(), "reads something else")


@check
def ten_thousand_files(d):
    for number in range(MANY):
        descriptor = os.open(f"{d}/{number:05}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(descriptor, b"%d" % number)
        os.close(descriptor)
    names = sorted(os.listdir(d))
    expect(names == [f"{number:05}" for number in range(MANY)], f"lists {len(names)} of them")
    expect(get(f"{d}/{MANY - 1:05}") == b"%d" % (MANY - 1), "mixes them up")
    with os.scandir(d) as entries:
        for entry in entries:
            os.unlink(entry.path)
    expect(os.listdir(d) == [], f"leaves {len(os.listdir(d))}")


@check
def names_of_all_kinds(d):
    names = {"ü\u00df\u6f22\U0001f600", "e\u0301", "\u00e9", "a b", "'\"$`\\", "-n", "new\nline", "x" * 255, "A", "a"}
    for name in names:
        put(d + "/" + name, name.encode())
    expect(set(os.listdir(d)) == names, f"gives back {set(os.listdir(d)) ^ names!r}")
    for name in names:
        expect(get(d + "/" + name) == name.encode(), f"mixes up {name!r}")
    raw = d.encode() + b"/\xff\xfe"
    put(raw)
    expect(b"\xff\xfe" in os.listdir(d.encode()), "loses names that are not UTF-8")


@check
def sparse_file(d):
    with open(d + "/f", "wb") as file:
        file.seek(1 << 30)
        file.write(b"end")
    found = os.stat(d + "/f")
    expect(found.st_size == (1 << 30) + 3, f"has {found.st_size} bytes")
    expect(found.st_blocks * 512 < MIB, f"takes {found.st_blocks * 512} bytes")


@check
def allocate(d):
    with open(d + "/f", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, MIB)
    expect(os.stat(d + "/f").st_size == MIB, "does not")
    libc_fallocate(d + "/f")


def libc_fallocate(path):
    import ctypes

    # keeps the size: what a file system has to know, and the C library cannot play
    with open(path, "r+b") as file:
        libc = ctypes.CDLL(None, use_errno=True)
        offset = ctypes.c_int64
        if libc.fallocate(file.fileno(), 1, offset(0), offset(2 * MIB)) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@check
def mapped_memory(d):
    put(d + "/f", b"\0" * 8192)
    with open(d + "/f", "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[4096:4100] = b"here"
        memory.flush()
    expect(get(d + "/f")[4096:4100] == b"here", "is not written back")


@check
def programs(d):
    put(d + "/program", get("/bin/true"))
    os.chmod(d + "/program", 0o755)
    expect(os.spawnv(os.P_WAIT, d + "/program", ["true"]) == 0, "runs no program")


@check
def direct_io(d):
    descriptor = os.open(d + "/f", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    try:
        memory = mmap.mmap(-1, 4096)
        memory.write(b"x" * 4096)
        expect(os.write(descriptor, memory) == 4096, "writes less")
    finally:
        os.close(descriptor)
    expect(get(d + "/f") == b"x" * 4096, "writes something else")


@check
def flock(d):
    with open(put(d + "/f")) as one, open(d + "/f") as two:
        fcntl.flock(one, fcntl.LOCK_EX)
        with contextlib.suppress(OSError):
            fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
            raise AssertionError("is had by two at once")
        fcntl.flock(one, fcntl.LOCK_UN)
        fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)


@check
def record_locks(d):
    with open(put(d + "/f"), "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 3)
        child = os.fork()
        if child == 0:
            with open(d + "/f", "r+b") as other:
                try:
                    fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB, 3)
                except OSError as error:
                    os._exit(0 if error.errno in (errno.EACCES, errno.EAGAIN) else 2)
                os._exit(1)
        expect(os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 0, "is had by two at once")


@check
def writers_in_the_guest(d):
    def write(letter):
        with open(d + "/f", "ab", buffering=0) as file:
            file.writelines(letter * 20 + b"\n" for _ in range(500))

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = get(d + "/f").split(b"\n")[:-1]
    expect(len(lines) == 1500 and all(len(set(line)) == 1 for line in lines), "lose lines")


@check
def looked_at_while_appended(d):
    """What a shell's `ls` or an editor does to a log that grows."""
    over = threading.Event()

    def look():
        while not over.is_set():
            os.stat(d + "/f")

    open(d + "/f", "w").close()
    looker = threading.Thread(target=look)
    looker.start()
    with open(d + "/f", "ab", buffering=0) as file:
        file.writelines(b"%019d\n" % number for number in range(2000))
    over.set()
    looker.join()
    expect(get(d + "/f") == b"".join(b"%019d\n" % number for number in range(2000)), "loses data")


@check
def fifo(d):
    os.mkfifo(d + "/f")
    expect(stat.S_ISFIFO(os.stat(d + "/f").st_mode), "is something else")


@check
def unix_socket(d):
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(d + "/s")
        server.listen(1)
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
            client.connect(d + "/s")


@check
def extended_attributes(d):
    os.setxattr(put(d + "/f"), "user.colour", b"blue")
    expect(os.getxattr(d + "/f", "user.colour") == b"blue", "change")


@check
def unnamed_files(d):
    os.close(os.open(d, os.O_TMPFILE | os.O_RDWR, 0o600))


@check
def free_space(d):
    expect(os.statvfs(d).f_blocks > 0, "is not told")


def outcome(function, folder):
    try:
        os.mkdir(folder)
        function(folder)
    except AssertionError as error:
        return str(error)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    finally:
        # of this program's own folder only, which nothing is mounted in
        shutil.rmtree(folder, ignore_errors=True)
    return "yes"


def main(directory, *names):
    os.umask(0o022)
    found = {name: outcome(CHECKS[name], f"{directory}/{name}") for name in names or CHECKS}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
