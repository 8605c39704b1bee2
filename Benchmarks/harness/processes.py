"""Processes under measurement: started on a chosen CPU, their cost read from /proc, ended with their whole group."""
import os
import signal
import socket
import subprocess
import time

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def spawn(command, cpu, log, environment=None):
    """Starts command pinned to cpu ("0", "0,1"), in a session of its own; its output is appended to log."""
    with open(log, "ab") as output:
        return subprocess.Popen(
            ["taskset", "-c", cpu, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env={**os.environ, **(environment or {})}, start_new_session=True)


def end(process):
    """Ends process and what it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def tree(pid):
    """pid and all its descendants."""
    found = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as children:
                for child in children.read().split():
                    found += tree(int(child))
    except FileNotFoundError:
        pass
    return found


def cpu_seconds(process):
    """User and system time of the process tree so far."""
    ticks = 0
    for pid in tree(process.pid):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        except FileNotFoundError:
            pass
    return ticks / TICKS_PER_SECOND


def resident_kib(process):
    """Resident memory of the process tree."""
    total = 0
    for pid in tree(process.pid):
        try:
            with open(f"/proc/{pid}/status") as status:
                total += sum(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
        except FileNotFoundError:
            pass
    return total


def wait_for_port(port, process, log, seconds=15):
    """Returns when something accepts connections on port; raises when process ended or time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.02)
    with open(log, errors="replace") as text:
        tail = text.read()[-600:].strip()
    raise RuntimeError(f"nothing listens on port {port}: {tail or 'no output'}")


def require_free(ports):
    """Ends the run if one of ports is taken: it would measure a stranger."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise SystemExit(f"bench: port {port} is in use; end what listens there and try again") from None
