"""The disk fills up, or fails, while the server is written to: clear errors, nothing lost, and all is well once it is over."""

import os
import random
import re
import signal
import subprocess
import time

import pytest
from conftest import wait_until
from writers import KEY, Refused, Rows, a_crew

#: Spells of faults in each test.
SPELLS = int(os.environ.get("GIRIH_SPELLS", "8"))
#: Calls without which nothing can be acknowledged. Not `write`, which is also how the server's threads wake each other.
MUST_WORK = ["fsync", "fdatasync", "pwrite64", "?renameat,?renameat2", "?mkdir,mkdirat"]
#: And those without which one can do for a while.
CALLS = [*MUST_WORK, "ftruncate", "?unlink,unlinkat"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 48 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "none", place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small file system takes the right to mount: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def fill(disk):
    """Takes the space that is left."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass
    return ballast


@pytest.fixture
def start_at(start):
    """Starts a server for a directory, with the writers' key."""

    def start_at(lab):
        server = start("catalog", lab, env={"GIRIH_SINGLE_USER_API_KEY": KEY})
        server.key = KEY
        return server

    return start_at


def let_go(server, refused):
    """A tracer that lets go of the server within a call that it makes fail leaves behind that there is no such call."""
    return refused.detail.count("Internal server error") and "Function not implemented (os error 38)" in server.errors()


def through_spells(start_at, girih, lab, spells, spell, clear):
    """Writers go on through spells of faults: `spell` is called with the server and each of `spells`. What they are told
    must be `clear`. Returns how many refusals each brought.
    """
    server = start_at(lab)
    crew = [writer.begin(server) for writer in a_crew()]
    for writer in crew:
        writer.bears = lambda refused: clear(refused.status, refused.detail) or let_go(server, refused)
        writer.start()

    def everyone_goes_on():
        before = [(writer, writer.done) for writer in crew]
        wait_until(lambda: all(w.done > n or w.fault for w, n in before), "all writers have written again")
        faults = [str(writer.fault) for writer in crew if writer.fault]
        assert not faults, f"{faults}\nThe log says\n{server.errors()}"

    refused = dict.fromkeys(spells, 0)
    for number in range(SPELLS):
        everyone_goes_on()
        before = sum(len(writer.refusals) for writer in crew)
        spell(server, spells[number % len(spells)])
        refused[spells[number % len(spells)]] += sum(len(writer.refusals) for writer in crew) - before
        assert server.process.poll() is None, "the server is gone"
        assert server.http().get("/").status_code == 200
    everyone_goes_on()
    for writer in crew:
        writer.over.set()
    for writer in crew:
        writer.join(60)
        assert writer.fault is None, writer.fault
    assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    server = start_at(lab)
    with server.http() as http:
        for writer in crew:
            writer.verify(http)
    assert server.stop() == 0
    checked = girih("catalog", "check", lab, "--data")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "0 findings" in checked.stdout
    return refused


def test_a_full_disk(start_at, girih, small_disk):
    def spell(server, _):
        ballast = fill(small_disk)
        time.sleep(0.3)
        ballast.unlink()

    def clear(status, detail):
        return status == 507 and re.search("is full|no room", detail) or status == 503 and "Try again" in detail

    refused = through_spells(start_at, girih, small_disk / "lab", ["full"], spell, clear)
    assert refused["full"]


def test_a_disk_that_fails(start_at, girih, tmp_path):
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    print(f"seed {seed}")

    def spell(server, calls):
        when = f"{chance.randint(1, 3)}+{chance.randint(1, 4)}"
        with traced(server, tmp_path, f"inject={calls}:error=EIO:when={when}"):
            time.sleep(0.5)

    def clear(status, detail):
        return status == 500 and "input/output error" in detail or status == 503 and "Try again" in detail

    refused = through_spells(start_at, girih, tmp_path / "lab", CALLS, spell, clear)
    assert not [calls for calls in MUST_WORK if not refused[calls]], f"calls that failed and nobody was told: {refused}"


def test_rows_whose_record_failed_are_not_added_twice(start_at, tmp_path):
    """The rows are published, and the catalog cannot be told: a repetition with the same key finds them."""
    server = start_at(tmp_path / "lab")
    with server.http() as http:
        rows = Rows("rows").begin(server)
        rows.key_of_write = "first"
        rows.step()
        rows.key_of_write = "second"
        # The updates for those who watch are another file, and can be kept.
        with traced(server, tmp_path, "inject=pwrite64:error=EIO", only=tmp_path / "lab" / "catalog.db-wal"):
            with pytest.raises(Refused, match="catalog failed"):
                rows.step()
        rows.verify(http)
        assert rows.count == 20, "the rows are there all the same"
        rows.count = 10
        rows.step()
        rows.verify(http)
        assert rows.count == 20


class traced:
    """While in this context, the kernel tells or changes what the server asks of it."""

    def __init__(self, server, folder, *options, only=None):
        self.log = folder / "trace"
        listed = [word for option in options for word in ("-e", option)]
        listed += ["-P", str(only)] if only else []
        self.command = ["strace", "-f", "-y", "-s", "64", "-o", self.log, *listed, "-p", str(server.process.pid)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE)
        line = self.process.stderr.readline()
        if b"not permitted" in line:
            pytest.skip(f"looking at system calls takes the right to trace: {line.decode().strip()}")
        assert b"attached" in line, line
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)

    def lines(self):
        return self.log.read_text().splitlines()


def test_no_answer_before_all_is_synced(start_at, tmp_path):
    """Looks at the server's calls: what has been written, made or renamed since the last answer has been synced since."""
    lab = tmp_path / "lab"
    server = start_at(lab)
    calls = "trace=write,pwrite64,writev,sendto,fsync,fdatasync,?mkdir,mkdirat,?rename,renameat,?renameat2"
    with traced(server, tmp_path, calls) as trace, server.http() as http:
        crew = [writer.begin(server) for writer in a_crew()]
        for writer in crew:
            writer.http = http
            for _ in range(3):
                writer.step()
    answers = 0
    unsynced, started = set(), {}
    for line in trace.lines():
        thread, _, call = line.partition(" ")
        call = call.strip()
        # A sync counts when it has ended, all else when it begins.
        begins, ends = not call.startswith("<..."), not call.endswith("<unfinished ...>")
        call = call if begins else started.pop(thread, "")
        if not ends:
            started[thread] = call
        name, _, rest = call.partition("(")
        is_sync = name in ("fsync", "fdatasync")
        if not (ends if is_sync else begins):
            continue
        paths = re.findall(rf"<({re.escape(str(lab))}[^>]*)>", rest)
        # The database proper follows its log in its own time; scratch files (#...) have no name.
        paths = [path for path in paths if not path.endswith(("-shm", "catalog.db")) and "/#" not in path]
        # What is kept for those who watch may be lost with the power: nobody waits for it.
        paths = [path for path in paths if "/catalog.db-updates" not in path]
        if '"HTTP/1.1 200' in rest:
            assert not unsynced, f"answered before {unsynced} was synced"
            answers += 1
        elif is_sync:
            unsynced -= set(paths)
        elif name.startswith(("mkdir", "rename")):
            # The last is the directory that has the new name.
            unsynced |= set(paths[-1:])
        elif name in ("write", "pwrite64"):
            unsynced |= set(paths[:1])
    assert answers == sum(writer.done for writer in crew), "not all answers were seen"
