"""The server is killed at random moments while it is written to: nothing that was acknowledged is lost or half there.

GIRIH_KILLS says how often (default: 40).
"""

import os
import random
import signal
import time

from writers import KEY, a_crew

KILLS = int(os.environ.get("GIRIH_KILLS", "40"))


def test_nothing_acknowledged_is_lost(start, girih, tmp_path):
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    writers = a_crew()
    lab = tmp_path / "lab"
    for kill in range(4 * KILLS):
        # A machine that is busy with other things gets further in more lives.
        if kill > KILLS and all(writer.done > KILLS for writer in writers):
            break
        server = start("catalog", lab, env={"GIRIH_SINGLE_USER_API_KEY": KEY})
        server.key = KEY
        with server.http() as http:
            for writer in writers:
                writer.verify(http)
        writers = [writer.begin(server) for writer in writers]
        for writer in writers:
            writer.start()
        time.sleep(chance.uniform(0.02, 0.15))
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        for writer in writers:
            writer.join(60)
            assert not writer.is_alive()
            assert writer.fault is None, writer.fault
            writer.http.close()
    for writer in writers:
        assert writer.done > KILLS, f"{writer.key} did next to nothing"
    checked = girih("catalog", "check", lab, "--data")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "0 findings" in checked.stdout
