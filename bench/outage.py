"""How long nobody can write: after the leader's end or silence, and before a first start."""
import select
import socket
import time

PROBE_EVERY_SECONDS = 0.005
PROBE_SECONDS_MAX = 20
REST_SECONDS = 0.3  # lets a restarted node's start-up work end, for all systems alike


def seconds_until_write(system, endpoints, begin=None):
    """Fresh connections, one every few ms, to `endpoints` in turn; until one write succeeds."""
    begin = begin or time.monotonic()
    opened, serial, next_at = [], 0, time.monotonic()
    try:
        while (now := time.monotonic()) - begin < PROBE_SECONDS_MAX:
            if now >= next_at:
                next_at = now + PROBE_EVERY_SECONDS
                host, _, port = endpoints[serial % len(endpoints)].rpartition(":")
                try:
                    probe = socket.create_connection((host, int(port)), 1)
                    probe.sendall(system.probe_request(serial))
                    opened.append(probe)
                except OSError:
                    pass
                serial += 1
            wait = max(0.0, next_at - time.monotonic())
            if not opened:
                time.sleep(wait)
                continue
            for probe in select.select(opened, [], [], wait)[0]:
                if _succeeded(probe):
                    return time.monotonic() - begin
                opened.remove(probe)
                probe.close()
    finally:
        for probe in opened:
            probe.close()
    raise AssertionError(f"{system.name}: no write succeeded within {PROBE_SECONDS_MAX} s")


def _succeeded(probe):
    try:
        return probe.recv(65536)[9:10] == b"2"
    except OSError:
        return False


def after_kill(system):
    """Seconds from kill -9 of the leader to the next write through a survivor."""
    leader, others = system.endpoints()
    begin = time.monotonic()
    system.kill(leader)
    seconds = seconds_until_write(system, others, begin)
    system.restart(leader)
    time.sleep(REST_SECONDS)
    return seconds


def after_stop(system):
    """Seconds from SIGSTOP of the leader, which breaks no connection."""
    leader, others = system.endpoints()
    begin = time.monotonic()
    system.freeze(leader)
    try:
        seconds = seconds_until_write(system, others, begin)
    finally:
        system.thaw(leader)
    time.sleep(REST_SECONDS)
    return seconds


def of_start(make_system):
    """(name, seconds from the start of three processes without data to the first write)"""
    system = make_system()
    try:
        begin = time.monotonic()
        return system.name, seconds_until_write(system, system.spawn(), begin)
    finally:
        system.stop()


TRIALS = {"kill": after_kill, "stop": after_stop}
