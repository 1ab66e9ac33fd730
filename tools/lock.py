"""Renew constraints.txt: resolve every extra from nothing and write down the exact versions.

    .venv/bin/python tools/lock.py        (or: make lock)

Nothing is installed. Local build tags (`+cpu`) are cut off, so that any build of a version
satisfies its pin.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = "jax,tensorflow,torch,test,oracle,dev"
TORCH = "torch==2.13.0"  # raised by hand: a newer build may bring gigabytes of GPU libraries
HEAD = """\
# Exact versions of everything that `make demo`, `make test` and CI install. Written by `make lock`.
# Resolved on Python {python}, {platform}; tried there only.
"""


def main() -> None:
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--dry-run",
        "--ignore-installed",
        "--report",
        "-",
    ]
    answer = subprocess.run(
        [*pip, TORCH, f"{ROOT}[{EXTRAS}]"], stdout=subprocess.PIPE, text=True, check=True
    )
    report = json.loads(answer.stdout)
    found = {item["metadata"]["name"]: item["metadata"]["version"] for item in report["install"]}
    found.pop("polycera")
    pins = [f"{name.lower()}=={version.split('+')[0]}" for name, version in found.items()]
    where = report["environment"]
    head = HEAD.format(
        python=where["python_version"], platform=f"{sys.platform} {where['platform_machine']}"
    )
    (ROOT / "constraints.txt").write_text(head + "\n".join(sorted(pins)) + "\n", encoding="utf-8")
    print(f"constraints.txt: {len(pins)} pins")


if __name__ == "__main__":
    main()
