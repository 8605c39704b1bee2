"""The stripped prototype of the design phase, if its sources stand beside the repository: the limit to come near to.

It has no routes, no header edits, no metrics and no TLS upstream.
"""
import pathlib
import shutil
import subprocess

from ..site import BASE, FRONT, ROOT
from . import Launch

SOURCES = ROOT.parent / "shared/prototype"
COPY = pathlib.Path("/tmp/martlet-prototype")


def binary():
    """Builds the prototype once, in a copy."""
    built = COPY / ".build/release/protoA"
    if not built.exists():
        shutil.copytree(SOURCES, COPY, dirs_exist_ok=True)
        print("bench: building the prototype", flush=True)
        subprocess.run(["chmod", "-R", "u+w", COPY], check=True)
        subprocess.run(["swift", "build", "-c", "release", "--static-swift-stdlib"], cwd=COPY, check=True,
                       stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return str(built)


def prototype(work, site):
    pair = (work.front, work.back)
    # Its backends are 9001 and 9002, come what may.
    if not SOURCES.exists() or BASE != 9000 or work.only or pair not in (("h1", "h1"), ("h2c", "h2c")):
        return None
    port, other = ("P1", "P2") if pair[0] == "h1" else ("P2", "P1")
    return Launch([binary()], {port: str(FRONT), other: str(FRONT + 1)})
