"""What harmless functions do works under every layer."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.models import write_colour_model

if TYPE_CHECKING:
    from tests.enclave_runtime.confinement.conftest import Machine

ANYWHERE = {
    "files": """
        import os, shutil
        from pathlib import Path
        Path("data.csv").write_text("a,b")
        Path("touched").touch()
        assert Path("touched").exists()
        Path("folder/below").mkdir(parents=True)
        shutil.move("data.csv", "folder/below/data.csv")
        shutil.copy2("folder/below/data.csv", "copy")
        shutil.copytree("folder", "copied")
        Path("copy").open("r+").truncate(1)
        os.chmod("copy", 0o600)
        shutil.rmtree("folder")
        assert os.listdir("copied/below") == ["data.csv"]
    """,
    "sqlite": """
        import sqlite3
        with sqlite3.connect("base.db") as base:
            base.execute("pragma journal_mode=wal")
            base.execute("create table t (x)")
            base.execute("insert into t values (1)")
        assert sqlite3.connect("base.db").execute("select x from t").fetchall() == [(1,)]
    """,
    "temporary files": """
        import tempfile
        with tempfile.NamedTemporaryFile() as file, tempfile.TemporaryDirectory() as folder:
            file.write(b"x")
        assert tempfile.TemporaryFile().write(b"x") == 1
    """,
    "threads": """
        import queue, threading
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(str, range(20))) == [str(number) for number in range(20)]
    """,
    "types of files": """
        import mimetypes, os
        assert mimetypes.guess_type("image.png") == ("image/png", None)
        if os.path.exists("/etc/mime.types"):
            assert open("/etc/mime.types").read()
    """,
    "its account": """
        import getpass, os, pwd
        assert getpass.getuser()
        assert os.path.expanduser("~") == os.getcwd()
        assert pwd.getpwnam("root" if os.path.exists("/etc/shadow") else "function").pw_name
    """,
    "authorities": """
        import ssl
        assert ssl.create_default_context().cert_store_stats() == OUTSIDE
        try:
            import certifi
        except ImportError:
            pass
        else:
            ssl.create_default_context(cafile=certifi.where())
    """,
    "locale and time": """
        import locale, time
        from zoneinfo import ZoneInfo
        locale.setlocale(locale.LC_ALL, "C.UTF-8")
        assert time.strftime("%Z")
        assert str(ZoneInfo("Europe/Berlin")) == "Europe/Berlin"
    """,
    "itself": """
        import os, platform, resource, socket, sys
        assert os.cpu_count() and platform.platform() and socket.gethostname()
        assert os.listdir("/proc/self/fd")
        assert open("/proc/self/status").read()
        assert len(os.urandom(8)) == 8
        os.nice(1)
        open("/dev/null", "w").write("x")
        resource.getrusage(resource.RUSAGE_CHILDREN)
    """,
    "an event loop": """
        import asyncio
        async def main():
            return await asyncio.to_thread(lambda: 5) + await asyncio.sleep(0.01, 1)
        assert asyncio.run(main()) == 6
    """,
}

PROCESSES = {
    "programs": """
        import subprocess, sys
        assert subprocess.check_output(["/bin/echo", "x"]) == b"x\\n"
        assert subprocess.run("cat | tr a b", shell=True, input=b"a", capture_output=True).stdout == b"b"
        done = subprocess.run([sys.executable, "-c", "import numpy; print(numpy.ones(2).sum())"], capture_output=True)
        assert done.stdout == b"2.0\\n", done.stderr
        child = subprocess.Popen(["/bin/sleep", "1000"])
        child.kill()
        assert child.wait() == -9
    """,
    "a pool": """
        import multiprocessing
        with multiprocessing.get_context("fork").Pool(3) as pool:
            assert pool.map(abs, [-1, -2, 3]) == [1, 2, 3]
    """,
    "a pool of fresh interpreters": """
        import multiprocessing
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            assert pool.map(abs, [-1, -2, 3]) == [1, 2, 3]
    """,
    "locks": """
        import multiprocessing
        lock, event, value = multiprocessing.Lock(), multiprocessing.Event(), multiprocessing.Value("i", 0)
        def add():
            with lock:
                value.value += 1
            event.set()
        workers = [multiprocessing.get_context("fork").Process(target=add) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert value.value == 3 and event.is_set()
    """,
    "a manager": """
        import multiprocessing
        with multiprocessing.get_context("fork").Manager() as manager:
            shared = manager.dict()
            worker = multiprocessing.get_context("fork").Process(target=shared.__setitem__, args=("a", 1))
            worker.start()
            worker.join()
            assert dict(shared) == {"a": 1}
    """,
    "shared memory": """
        from multiprocessing import shared_memory
        block = shared_memory.SharedMemory(create=True, size=4096)
        block.buf[:3] = b"abc"
        other = shared_memory.SharedMemory(name=block.name)
        assert bytes(other.buf[:3]) == b"abc"
        other.close()
        block.close()
        block.unlink()
    """,
    "links": """
        import os
        os.symlink("target", "link")
        open("target", "w").write("x")
        os.link("target", "other")
        assert open("link").read() == open("other").read() == "x"
    """,
    "sockets of its own": """
        import socket, threading
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("mine")
        listener.listen()
        client = socket.socket(socket.AF_UNIX)
        client.connect("mine")
        listener.accept()[0].send(b"x")
        assert client.recv(1) == b"x"
    """,
}


def run(machine: Machine, source: str, **options: object) -> None:
    import ssl

    known = ssl.create_default_context().cert_store_stats()
    # In a file, as functions are: interpreters that are started anew import it.
    program = f"OUTSIDE = {known!r}\nif __name__ == '__main__':\n" + textwrap.indent(textwrap.dedent(source), "    ")
    starting = f"import runpy\nopen('program.py', 'w').write({program!r})\n"
    starting += "import os, sys\nos.environ.update(HOME=os.getcwd(), USER='function')\n"
    starting += "sys.argv = ['program.py']\nrunpy.run_path('program.py', run_name='__main__')"
    machine.ask(starting, **options)


@pytest.mark.parametrize("name", ANYWHERE)
def test_in_every_process(either: Machine, name: str):
    run(either, ANYWHERE[name])


def test_it_has_an_account_of_its_own(either: Machine):
    either.ask("""
import grp, os, pwd
for entry in (pwd.getpwuid(os.getuid()), pwd.getpwnam("function")):
    assert (entry.pw_uid, entry.pw_dir) == (os.getuid(), os.getcwd())
assert [each.pw_name for each in pwd.getpwall()] == ["function"]
assert grp.getgrgid(os.getgid()).gr_name == "function"
""")


@pytest.mark.parametrize("name", ANYWHERE)
@pytest.mark.parametrize("version", [1, 7])
def test_without_namespaces(either: Machine, name: str, version: int):
    landlock = min(version, either.layers.landlock)
    layers = replace(either.layers, namespaces=False, user_namespace=False, landlock=landlock)
    run(either, ANYWHERE[name], layers=layers)


@pytest.mark.parametrize("name", PROCESSES)
def test_with_namespaces_and_a_control_group(machine: Machine, name: str):
    if not {"namespaces", "cgroup"} <= set(machine.layers.present):
        pytest.skip("this machine does not have them")
    run(machine, PROCESSES[name])


def test_a_model_runs(either: Machine, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("model")
    model = write_colour_model(folder).folder / "tiny.onnx"
    source = f"""
        import numpy, onnxruntime
        session = onnxruntime.InferenceSession({model.read_bytes()!r})
        (entry,) = session.get_inputs()
        image = numpy.zeros([size if isinstance(size, int) else 1 for size in entry.shape], numpy.float32)
        (scores,) = session.run(None, {{entry.name: image}})
        assert scores.shape[-1] == 1000 and numpy.isfinite(scores).all()
        assert (numpy.ones((64, 64)) @ numpy.ones((64, 64))).sum() == 64**3
    """
    for layers in (either.layers, replace(either.layers, namespaces=False, user_namespace=False)):
        run(either, source, layers=layers)
