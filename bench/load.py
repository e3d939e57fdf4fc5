"""Running `girih-load` against a server."""

import json
import subprocess
from dataclasses import dataclass

from servers import KEY, RELEASE, Server

AUTHORIZATION = {"authorization": f"Apikey {KEY}"}


@dataclass
class Result:
    per_second: float
    p50: float
    p99: float
    #: Bytes of all bodies, per second.
    throughput: float
    #: Share of the processors that the server used; 2 for both.
    cpu: float
    resident: float
    statuses: dict[str, int]
    failure: str | None


def measure(
    server: Server,
    steps: list[dict],
    *,
    connections: int = 16,
    seconds: float = 5,
    runs: int | None = None,
    headers: dict[str, str] | None = None,
    random: bool = False,
) -> Result:
    """Times are in milliseconds. Fails when an answer is not a success."""
    script = {"headers": headers or {}, "steps": steps, "random": random}
    command = [RELEASE / "girih-load", "--address", server.address]
    command += ["--connections", str(connections), "--seconds", str(seconds)]
    command += ["--runs", str(runs)] if runs else []
    before = server.cpu()
    done = subprocess.run(command, input=json.dumps(script), capture_output=True, text=True, check=True)
    outcome = json.loads(done.stdout)
    used = server.cpu() - before
    return Result(
        per_second=outcome["runs_per_second"],
        p50=outcome["p50"],
        p99=outcome["p99"],
        throughput=outcome["bytes"] / outcome["seconds"],
        cpu=used / outcome["seconds"],
        resident=server.resident(),
        statuses=outcome["statuses"],
        failure=outcome["failure"],
    )
