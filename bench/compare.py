"""girih, the reference and the limits of this machine, side by side."""

import argparse
import shutil
import tempfile
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import content
import servers
from cases import CASES, Case
from load import measure
from servers import Server


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--only", default="", help="measure the cases whose name contains this")
    ask.add_argument("--seconds", type=float, default=5, help="for each case and server (default: 5)")
    ask.add_argument("--alone", action="store_true", help="leave the reference out")
    ask.add_argument("--keep", type=Path, help="keep the content in this directory, and use it the next time")
    options = ask.parse_args()
    directory = options.keep or Path(tempfile.mkdtemp(prefix="girih-bench-"))
    try:
        compare(directory.absolute(), options)
    finally:
        if not options.keep:
            shutil.rmtree(directory)


def compare(directory: Path, options: argparse.Namespace) -> None:
    with ExitStack() as stack:
        ours = prepared(stack, servers.girih(directory / "girih"))
        theirs = None if options.alone else prepared(stack, servers.reference(directory / "reference"))
        limit = stack.enter_context(servers.nginx(directory / "nginx"))
        print(f"{'':28}{'girih':>10}{'p50 ms':>9}{'p99 ms':>9}{'cpu':>6}{'MB':>7}", end="")
        print(f"{'reference':>12}{'ratio':>8}{'bar':>6}{'nginx':>10}{'share':>7}{'bar':>6}")
        for case in CASES:
            if options.only in case.name:
                row(case, ours, theirs, limit, directory / "nginx" / "www", options.seconds)
        print(f"girih at the end: {ours.resident():.0f} MB resident, {ours.peak():.0f} MB at its peak")


def prepared(stack: ExitStack, server: Server) -> Server:
    """A running server with the content in it."""
    stack.enter_context(server)
    mark = server.log.parent / "filled"
    if not mark.exists():
        content.fill(server)
        mark.touch()
    print(f"{server.name}: ready; {server.resident():.0f} MB resident", flush=True)
    return server


def row(case: Case, ours: Server, theirs: Server | None, limit: Server, www: Path, seconds: float) -> None:
    options = {"connections": case.connections, "headers": case.headers, "random": len(case.steps) > 1}
    ask(ours, case)
    mine = measure(ours, case.steps, seconds=seconds, **options)
    name = case.name if not mine.failure else f"{case.name} !{mine.failure}"
    text = f"{name:28}{mine.per_second:10.1f}{mine.p50:9.2f}{mine.p99:9.2f}{mine.cpu:6.2f}{mine.resident:7.0f}"
    print(text, end="", flush=True)
    if theirs:
        other = measure(theirs, case.steps, seconds=seconds, **options)
        # A run that takes longer than we wait counts as what it took.
        print(f"{other.per_second:12.2f}{mine.per_second / max(other.per_second, 1e-9):8.0f}{case.bar:6.0f}", end="")
    if case.limit:
        body = ask(ours, case)
        # A name of its own: nginx keeps open what it has served.
        file = case.name.translate({ord(c): "-" for c in " ',"})
        (www / file).write_bytes(body)
        most = measure(limit, [{"path": f"/{file}"}], seconds=seconds, connections=case.connections)
        if most.failure:
            raise RuntimeError(f"nginx: {most.failure}; see {limit.log}")
        print(f"{most.per_second:10.1f}{mine.per_second / most.per_second:7.2f}{case.limit:6.1f}", end="")
    print(flush=True)


def ask(server: Server, case: Case) -> bytes:
    """The body of one answer, as it is sent."""
    path = case.steps[0]["path"].replace("{r:2}", "1").replace("{r:10}", "1").replace("{r:200}", "1")
    request = urllib.request.Request(f"http://{server.address}{path}", headers=case.headers)
    with urllib.request.urlopen(request) as response:
        return response.read()


if __name__ == "__main__":
    main()
