"""What Cape functions find in their confinement: one row of docs/cape-compatibility.md and one function each.

A function is a module with `main`, which raises if what is stated does not hold. What it starts anew imports it.
`MORE_PROCESSES` make processes, or need a place that no others see; the rest work in every confinement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Facility:
    """`statement` is the row's text. `packages` are those that the function brings."""

    name: str
    statement: str
    source: str
    packages: tuple[str, ...] = ()


ANYWHERE: Final = (
    Facility(
        "files",
        "its folder is its working directory, its home and the first entry of `sys.path`, and is writable; each"
        " connection has its own folder",
        """
        import os, shutil, sys
        from pathlib import Path

        def main():
            assert Path.home() == Path.cwd() == Path(__file__).parent == Path(sys.path[0])
            Path("data.csv").write_text("a,b")
            Path("~/.cache/library").expanduser().mkdir(parents=True)
            shutil.copytree(".cache", "copied")
            shutil.move("data.csv", "copied/data.csv")
            os.chmod("copied/data.csv", 0o600)
            os.utime("copied/data.csv", (1, 1))
            shutil.rmtree(".cache")
            assert sorted(os.listdir("copied")) == ["data.csv", "library"]
        """,
    ),
    Facility(
        "temporary files",
        "`tempfile` works. `/tmp` is private and initially empty. Without namespaces there is no `/tmp`, and temporary"
        " files are in the function's folder",
        """
        import os, sys, tempfile

        def main():
            with tempfile.NamedTemporaryFile() as file, tempfile.TemporaryDirectory() as folder:
                file.write(b"x")
                open(os.path.join(folder, "x"), "w").write("x")
            with tempfile.SpooledTemporaryFile(1) as file:
                file.write(b"xx")
            assert tempfile.gettempdir() in ("/tmp", os.getcwd())
            if tempfile.gettempdir() == "/tmp":
                # Folders above what it was given, in a checkout below /tmp.
                above = {part for path in (os.getcwd(), sys.prefix, *sys.path) for part in path.split("/")}
                assert [name for name in os.listdir("/tmp") if name[0] != "." and name not in above] == []
                open("/tmp/mine", "w").write("x")
        """,
    ),
    Facility(
        "MIME types",
        "`mimetypes.guess_type` and libraries that use it",
        """
        import mimetypes, os

        def main():
            assert mimetypes.guess_type("image.png") == ("image/png", None)
            assert mimetypes.guess_type("book.pdf") == ("application/pdf", None)
            assert mimetypes.guess_extension("text/html") == ".html"
            assert mimetypes.MimeTypes().guess_type("a.tar.gz") == ("application/x-tar", "gzip")
            if os.path.exists("/etc/mime.types"):
                assert open("/etc/mime.types").read()
        """,
    ),
    Facility(
        "an account",
        "`pwd.getpwuid`, `getpass.getuser`, `os.path.expanduser`, `grp`: user `function`, whose home is its folder."
        " Without namespaces `/etc/passwd` is the machine's, and may lack the user id",
        """
        import getpass, grp, os, pwd
        from pathlib import Path

        def main():
            assert getpass.getuser() == "function"
            assert os.path.expanduser("~") == os.getcwd() == str(Path.home())
            if not os.path.exists("/etc/hostname"):
                mine = pwd.getpwuid(os.getuid())
                assert (mine.pw_name, mine.pw_dir, mine.pw_uid) == ("function", os.getcwd(), os.getuid())
                assert os.path.expanduser("~function") == os.getcwd()
                assert grp.getgrgid(os.getgid()).gr_name == "function"
                assert [each.pw_name for each in pwd.getpwall()] == ["function"]
        """,
    ),
    Facility(
        "certificate authorities",
        "`ssl.create_default_context` trusts the machine's, and `certifi` its own",
        """
        import os, ssl
        import certifi

        def main():
            paths = ssl.get_default_verify_paths()
            authorities = ssl.create_default_context().cert_store_stats()["x509_ca"]
            if any(path and os.path.exists(path) for path in (paths.cafile, "/etc/ssl/certs/ca-certificates.crt")):
                assert authorities > 50, authorities
            assert ssl.create_default_context(cafile=certifi.where()).cert_store_stats()["x509_ca"] > 50
        """,
        ("certifi",),
    ),
    Facility(
        "network libraries",
        "`requests`, `urllib`, `http`, `asyncio` can be imported and used; every connection fails at once, with the"
        " errors of a machine without a network",
        """
        import socket, time, urllib.error, urllib.request
        import requests

        def main():
            began = time.monotonic()
            for attempt, error in (
                (lambda: requests.get("https://example.com"), requests.exceptions.ConnectionError),
                (lambda: urllib.request.urlopen("http://127.0.0.1:9"), urllib.error.URLError),
                (lambda: socket.create_connection(("127.0.0.1", 9)), OSError),
                (lambda: socket.getaddrinfo("example.com", 80), OSError),
            ):
                try:
                    attempt()
                except error:
                    continue
                raise AssertionError(error)
            assert time.monotonic() - began < 5
            assert socket.gethostname() and socket.getfqdn()
            requests.Request("GET", "https://example.com", params={"a": "b"}).prepare()
        """,
        ("requests", "certifi", "idna", "urllib3", "charset_normalizer"),
    ),
    Facility(
        "threads and event loops",
        "`threading`, `concurrent.futures.ThreadPoolExecutor`, `queue`, `asyncio`",
        """
        import asyncio, threading
        from concurrent.futures import ThreadPoolExecutor

        async def both():
            return await asyncio.to_thread(lambda: 5) + await asyncio.sleep(0.01, 1)

        def main():
            with ThreadPoolExecutor(8) as pool:
                assert list(pool.map(str, range(20))) == [str(number) for number in range(20)]
            assert asyncio.run(both()) == 6
            done = threading.Event()
            threading.Timer(0.01, done.set).start()
            assert done.wait(5)
        """,
    ),
    Facility(
        "databases",
        "`sqlite3`, `dbm`, `shelve`, in its folder",
        """
        import shelve, sqlite3

        def main():
            with sqlite3.connect("base.db") as base:
                base.execute("pragma journal_mode=wal")
                base.execute("create table t (x)")
                base.execute("insert into t values (1)")
            assert sqlite3.connect("base.db").execute("select x from t").fetchall() == [(1,)]
            with shelve.open("shelf") as shelf:
                shelf["a"] = {"b": 1}
            with shelve.open("shelf") as shelf:
                assert shelf["a"] == {"b": 1}
        """,
    ),
    Facility(
        "locale and time",
        "UTF-8 (`C.UTF-8`), the machine's time zones",
        """
        import locale, sys, time
        from datetime import datetime
        from zoneinfo import ZoneInfo

        def main():
            locale.setlocale(locale.LC_ALL, "")
            assert locale.getpreferredencoding().lower() == "utf-8" == sys.getfilesystemencoding()
            assert time.strftime("%Z") and datetime.now().astimezone().tzinfo
            open("n\\u00e4me", "w").write("\\u00e9")
            try:
                assert datetime(2024, 7, 1, tzinfo=ZoneInfo("Europe/Berlin")).utcoffset().seconds == 7200
            except KeyError:
                import os
                assert not os.path.exists("/usr/share/zoneinfo")
        """,
    ),
    Facility(
        "system information",
        "`os.cpu_count`, `platform`, `resource`, `/proc/self`, `/proc/cpuinfo`, `/proc/meminfo`, random numbers, UUIDs",
        """
        import os, platform, random, resource, secrets, signal, socket, uuid

        def main():
            assert os.cpu_count() and os.sched_getaffinity(0) and platform.platform() and platform.uname()
            assert os.listdir("/proc/self/fd") and open("/proc/self/status").read()
            assert open("/proc/cpuinfo").read() and "MemTotal" in open("/proc/meminfo").read()
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            assert len(secrets.token_bytes(8)) == len(os.urandom(8)) == 8 and random.random() != random.random()
            assert uuid.uuid1() != uuid.uuid4() and platform.node() == socket.gethostname()
            signal.signal(signal.SIGALRM, lambda *_: None)
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            signal.pause()
        """,
    ),
    Facility(
        "standard streams",
        "printed text is discarded; standard input is empty",
        """
        import logging, sys, warnings

        def main():
            print("out")
            print("error", file=sys.stderr, flush=True)
            logging.basicConfig()
            logging.warning("logged")
            warnings.warn("warned")
            assert sys.stdin.read() == "" and not sys.stdout.isatty()
            assert [stream.fileno() for stream in (sys.stdin, sys.stdout, sys.stderr)] == [0, 1, 2]
            assert sys.stdout.encoding.lower() == "utf-8"
            try:
                input("question")
            except EOFError:
                pass
            else:
                raise AssertionError
        """,
    ),
    Facility(
        "its own code",
        "`__file__`, `inspect`, `pickle` of its own classes, `importlib.resources` and data files of packages",
        """
        import importlib.resources, inspect, pickle, sys
        from pathlib import Path
        import certifi

        class Point:
            x = 1

        def main():
            assert __name__ == "app" and Path(__file__).name == "app.py"
            assert "class Point" in inspect.getsource(Point) and inspect.getsource(main)
            assert pickle.loads(pickle.dumps(Point())).x == 1
            assert b"BEGIN CERTIFICATE" in importlib.resources.files("certifi").joinpath("cacert.pem").read_bytes()
            assert sys.modules["app"].main is main
        """,
        ("certifi",),
    ),
    Facility(
        "system libraries",
        "`ctypes`, and shared libraries of the machine",
        """
        import ctypes, ctypes.util

        def main():
            assert ctypes.CDLL(None).getpid()
            assert ctypes.CDLL("libc.so.6").getpid()
        """,
    ),
)

MORE_PROCESSES: Final = (
    Facility(
        "programs",
        "`subprocess`, `asyncio.create_subprocess_exec`, shells and the system's programs, and other interpreters"
        " (`sys.executable`), which can import the same packages as the function",
        """
        import asyncio, subprocess, sys

        async def echo():
            child = await asyncio.create_subprocess_exec("/bin/echo", "x", stdout=subprocess.PIPE)
            return (await child.communicate())[0]

        def main():
            assert subprocess.check_output(["/bin/echo", "x"]) == b"x\\n" == asyncio.run(echo())
            assert subprocess.run("cat | tr a b", shell=True, input=b"a", capture_output=True).stdout == b"b"
            code = "import app, numpy; print(numpy.ones(2).sum(), app.__name__)"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
            assert done.stdout == "2.0 app\\n", done.stderr
            child = subprocess.Popen(["/bin/sleep", "1000"])
            child.kill()
            assert child.wait() == -9
        """,
    ),
    Facility(
        "pools",
        "`multiprocessing.Pool` and `ProcessPoolExecutor` on functions of `app.py`, by `fork`, `spawn`, `forkserver`",
        """
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        def double(number):
            return 2 * number

        def main():
            for method in ("fork", "spawn", "forkserver"):
                context = multiprocessing.get_context(method)
                with context.Pool(2) as pool:
                    assert pool.map(double, [1, 2, 3]) == [2, 4, 6], method
                with ProcessPoolExecutor(2, mp_context=context) as pool:
                    assert list(pool.map(double, [1, 2])) == [2, 4], method
            with multiprocessing.Pool(2) as pool:
                assert pool.map(double, [1]) == [2]
        """,
    ),
    Facility(
        "locks",
        "`multiprocessing`'s `Lock`, `Event`, `Semaphore`, `Barrier`, `Queue`, `Pipe`, `Value`, `Array`",
        """
        import multiprocessing

        def add(lock, event, value, queue, pipe):
            with lock:
                value.value += 1
            queue.put(value.value)
            pipe.send("x")
            event.set()

        def main():
            for method in ("fork", "spawn"):
                context = multiprocessing.get_context(method)
                lock, event, value, queue = context.Lock(), context.Event(), context.Value("i", 0), context.Queue()
                here, there = context.Pipe()
                workers = [context.Process(target=add, args=(lock, event, value, queue, there)) for _ in range(2)]
                for worker in workers:
                    worker.start()
                got = sorted(queue.get(timeout=20) for _ in workers)
                for worker in workers:
                    worker.join()
                assert got[-1] == value.value == 2 and event.is_set() and here.recv() == "x"
                context.Semaphore(2), context.Barrier(1).wait(), context.Array("d", 3), context.Condition()
        """,
    ),
    Facility(
        "managers",
        "`multiprocessing.Manager`",
        """
        import multiprocessing

        def put(shared):
            shared["a"] = 1

        def main():
            with multiprocessing.Manager() as manager:
                shared = manager.dict()
                worker = multiprocessing.Process(target=put, args=(shared,))
                worker.start()
                worker.join()
                assert dict(shared) == {"a": 1}
        """,
    ),
    Facility(
        "shared memory",
        "`multiprocessing.shared_memory`, `/dev/shm`; counted in the function's memory limit",
        """
        import os
        from multiprocessing import Process, shared_memory

        def write(name):
            block = shared_memory.SharedMemory(name=name)
            block.buf[:3] = b"abc"
            block.close()

        def main():
            block = shared_memory.SharedMemory(create=True, size=4096)
            worker = Process(target=write, args=(block.name,))
            worker.start()
            worker.join()
            assert bytes(block.buf[:3]) == b"abc" and os.path.exists(f"/dev/shm/{block.name}")
            block.close()
            block.unlink()
        """,
    ),
    Facility(
        "links and sockets of its own",
        "symbolic and hard links, Unix sockets; no named pipes and no devices, as in Cape",
        """
        import os, socket

        def main():
            os.symlink("target", "link")
            open("target", "w").write("x")
            os.link("target", "other")
            assert open("link").read() == open("other").read() == "x"
            listener = socket.socket(socket.AF_UNIX)
            listener.bind("mine")
            listener.listen()
            client = socket.socket(socket.AF_UNIX)
            client.connect("mine")
            listener.accept()[0].send(b"x")
            assert client.recv(1) == b"x"
            try:
                os.mkfifo("pipe")
            except PermissionError:
                return
            raise AssertionError
        """,
    ),
)
