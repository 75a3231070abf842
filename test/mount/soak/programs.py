"""A long-lived program that uses a mount, for the soak test: a request per line on standard input, an answer per line."""

import errno
import json
import mmap
import os
import random
import shutil
import sqlite3
import sys

held = {}


def read(path):
    with open(path, encoding="utf8", newline="") as file:
        return file.read()


def names(path):
    return sorted(os.listdir(path))


def setxattr(path, name, value):
    os.setxattr(path, name, value.encode())


def getxattr(path, name):
    return os.getxattr(path, name).decode()


def hold(path):
    """Keeps the file open and mapped until `release`."""
    file = os.open(path, os.O_RDONLY)
    held[file] = mmap.mmap(file, 0, prot=mmap.PROT_READ)
    return file


def see(file):
    """What the held file contains, through its mapping; it must be what its descriptor reads."""
    mapped = held[file][:]
    expect(os.pread(file, len(mapped) + 1, 0), mapped, "a held file, read and mapped")
    return mapped.decode()


def release(file):
    held.pop(file).close()
    os.close(file)


def abandon(path):
    """The opposite of what the soak test hopes for: a file without a name that stays open."""
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(file, b"x" * 8192)
    os.unlink(path)


def execute(database, statement):
    """Changes a SQLite database."""
    with sqlite3.connect(database, timeout=10) as connection:
        connection.execute(statement)
    connection.close()


def expect(actual, expected, what):
    if actual != expected:
        raise ValueError(f"{what}: {show(actual)} instead of {show(expected)}")


def show(value):
    return f"{len(value)} bytes, {value[:60]!r}" if isinstance(value, bytes) else repr(value)


class Churn:
    """Files that come, change and go in a directory of their own, beside a model of what they must contain."""

    SIZES = (0, 1, 100, 4096, 5000, 70_000, 400_000)

    def __init__(self, directory, seed):
        self.directory = directory
        self.random = random.Random(seed)
        # Path to content; hard links share their content.
        self.files = {}
        self.next = 0
        self.checks = 0

    def run(self, steps):
        os.makedirs(os.path.join(self.directory, "sub"))
        actions = (
            self.create, self.create, self.append, self.overwrite, self.truncate, self.rename, self.link,
            self.unlink, self.store, self.copy, self.attribute, self.times, self.unnamed, self.symlink, self.reserve,
        )
        for _ in range(steps):
            self.random.choice(actions)()
        for path in self.files:
            self.check(path)
        expect(
            sorted(os.path.join(where, name) for where, _, files in os.walk(self.directory) for name in files),
            sorted(self.files),
            f"the files in {self.directory}",
        )
        shutil.rmtree(self.directory)
        return self.checks

    def fresh(self):
        self.next += 1
        return os.path.join(self.directory, self.random.choice(("", "sub")), f"{self.next}")

    def any(self):
        if not self.files:
            self.create()
        return self.random.choice(sorted(self.files))

    def bytes(self):
        return self.random.randbytes(self.random.choice(self.SIZES))

    def check(self, path):
        with open(path, "rb") as file:
            expect(file.read(), bytes(self.files[path]), path)
        expect(os.stat(path).st_size, len(self.files[path]), f"the size of {path}")
        self.checks += 1

    def create(self):
        path, content = self.fresh(), self.bytes()
        with open(path, "wb") as file:
            file.write(content)
        self.files[path] = bytearray(content)

    def append(self):
        path, content = self.any(), self.bytes()
        with open(path, "ab") as file:
            file.write(content)
        self.files[path] += content
        self.check(path)

    def overwrite(self):
        path, content = self.any(), self.bytes()
        known = self.files[path]
        offset = self.random.randrange(len(known) + 10_000)
        with open(path, "r+b") as file:
            os.pwrite(file.fileno(), content, offset)
        if content:
            known.extend(bytes(max(0, offset + len(content) - len(known))))
            known[offset : offset + len(content)] = content
        self.check(path)

    def truncate(self):
        path, size = self.any(), self.random.choice(self.SIZES)
        known = self.files[path]
        os.truncate(path, size)
        del known[size:]
        known.extend(bytes(size - len(known)))
        self.check(path)

    def rename(self):
        source = self.any()
        target = self.random.choice((self.fresh(), self.any()))
        os.rename(source, target)
        # As with rename(2): nothing happens to two names of one file.
        if self.files.get(target) is not self.files[source]:
            self.files[target] = self.files.pop(source)
        self.check(target)

    def link(self):
        source, target = self.any(), self.fresh()
        os.link(source, target)
        self.files[target] = self.files[source]
        self.append()
        self.check(target)

    def unlink(self):
        path = self.any()
        os.unlink(path)
        del self.files[path]
        expect(os.path.exists(path), False, f"that {path} exists")

    def store(self):
        """Changes a file through a shared mapping."""
        path = self.any()
        known = self.files[path]
        if not known:
            return
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            expect(memory[:], bytes(known), f"{path}, mapped")
            at = self.random.randrange(len(known))
            memory[at] = known[at] = self.random.randrange(256)
        self.check(path)

    def copy(self):
        source, target = self.any(), self.fresh()
        with open(source, "rb") as one, open(target, "wb") as other:
            if self.random.random() < 0.5:
                while os.copy_file_range(one.fileno(), other.fileno(), 1 << 20):
                    pass
            else:
                while os.sendfile(other.fileno(), one.fileno(), None, 1 << 20):
                    pass
        self.files[target] = bytearray(self.files[source])
        self.check(target)

    def attribute(self):
        path, value = self.any(), self.random.randbytes(100)
        os.setxattr(path, "user.soak", value)
        expect(os.getxattr(path, "user.soak"), value, f"the attribute of {path}")

    def times(self):
        path, content, time = self.any(), self.bytes(), self.random.randrange(1 << 60)
        with open(path, "ab") as file:
            file.write(content)
            file.flush()
            os.utime(file.fileno(), ns=(time, time))
        self.files[path] += content
        expect(os.stat(path).st_mtime_ns, time, f"the time of {path}")

    def unnamed(self):
        path, content = self.fresh(), self.bytes()
        with open(path, "w+b") as file:
            os.unlink(path)
            file.write(content)
            file.seek(0)
            expect(file.read(), content, "a file without a name")
        self.checks += 1

    def symlink(self):
        target, path = self.any(), self.fresh()
        os.symlink(os.path.relpath(target, os.path.dirname(path)), path)
        expect(os.path.samefile(target, path), True, f"that {path} leads to {target}")
        os.unlink(path)

    def reserve(self):
        path, size = self.any(), self.random.choice(self.SIZES) + 1
        known = self.files[path]
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        known.extend(bytes(max(0, size - len(known))))
        self.check(path)


def churn(directory, seed, steps):
    return Churn(directory, seed).run(steps)


REQUESTS = (read, names, setxattr, getxattr, hold, see, release, abandon, execute, churn, os.link, os.unlink, os.makedirs)
BY_NAME = {request.__name__: request for request in REQUESTS}

for line in sys.stdin:
    name, *arguments = json.loads(line)
    try:
        answer = {"value": BY_NAME[name](*arguments)}
    except OSError as error:
        answer = {"errno": errno.errorcode.get(error.errno, str(error.errno)), "path": error.filename}
    except Exception as error:
        answer = {"wrong": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
