"""Tables, predictions and runs in remote stores: in memory, and on an S3 server of our own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polycera as pc
from polycera.data import sources
from polycera.errors import InputError, PolyceraError
from polycera.storage import remote, table_files

fsspec = pytest.importorskip("fsspec")
pytestmark = pytest.mark.nobackend

ROWS = 40
TABLE = "a,b,y\n" + "".join(f"{i % 7},{i % 3},{i % 7 + 2 * (i % 3)}\n" for i in range(ROWS))
SHORT: dict[str, Any] = {"network": {"members": 2, "width": 8}, "training": {"max_steps": 8}}


def put(address: str, text: str) -> None:
    with fsspec.open(address, "w") as file:
        file.write(text)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[str]:
    yield "memory://shop"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = pytest.importorskip("moto.server", reason="pip install 'moto[server]'")
    pytest.importorskip("s3fs")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    host, port = running.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "tester",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        fsspec.filesystem("s3").mkdir("shop")
        yield "s3://shop"
    running.stop()


def test_a_run_in_a_store(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same files as in a folder; opened again by its address; not overwritten."""
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text(TABLE)
    run = pc.fit("t.csv", ["y"], out=f"{store}/runs/one", **SHORT)
    assert run.address == f"{store}/runs/one"
    here = pc.fit("t.csv", ["y"], out="one", **SHORT)
    names = {str(path.relative_to(here.path)) for path in here.path.rglob("*") if path.is_file()}
    assert set(remote.listed(run.address)) == names
    again = pc.load(f"{store}/runs/one")
    rows = {"a": [1.0, 2.0], "b": [0.0, 1.0]}
    assert np.array_equal(again.predict(rows)["y"], here.predict(rows)["y"])
    with pytest.raises(InputError, match="memory://shop/runs/one"):
        pc.fit("t.csv", ["y"], out=f"{store}/runs/one", **SHORT)
    assert pc.fit("t.csv", ["y"], out=f"{store}/runs/one", resume=True, **SHORT).finished
    with pytest.raises(InputError, match="memory://shop/runs/two"):
        pc.load(f"{store}/runs/two")


def test_the_manifest_comes_last(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "t.csv"
    table.write_text(TABLE)
    sent: list[str] = []
    send = remote.sent

    def noted(path: Path, address: str) -> None:
        sent.append(address.removeprefix(f"{store}/run/"))
        send(path, address)

    monkeypatch.setattr(remote, "sent", noted)
    run = pc.fit(str(table), ["y"], out=f"{store}/run", checkpoint_every="1 epoch", **SHORT)
    assert sent[-1] == "manifest.json"
    assert any(name.startswith("checkpoints/") for name in sent)
    assert not any(name.startswith("checkpoints/") for name in remote.listed(run.address))


KILLED = """
import os, sys
import polycera as pc
from polycera.data import sources
from polycera.runs import mirror

sends = 0
send = mirror.Mirror.send

def dying(self):
    global sends
    send(self)
    sends += 1
    if sends == 1:
        os._exit(9)

mirror.Mirror.send = dying
pc.fit(
    "t.csv",
    ["y"],
    out="s3://shop/killed",
    checkpoint_every="1 epoch",
    network={"members": 2, "width": 8},
    training={"max_steps": 120, "patience_steps": 120},
)
"""


def test_a_killed_training_is_resumed_from_s3(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the last checkpoint that was sent, to the same bits."""
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text(TABLE)
    dead = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, env=dict(os.environ))
    assert dead.returncode == 9
    assert any(name.startswith("checkpoints/0") for name in remote.listed(f"{s3}/killed"))
    run = pc.resume(f"{s3}/killed")
    short = {**SHORT, "training": {"max_steps": 120, "patience_steps": 120}}
    whole = pc.fit("t.csv", ["y"], out="whole", **short)
    for name in ("history.csv", "predictions.csv", "metrics.json"):
        assert (run.path / name).read_bytes() == (whole.path / name).read_bytes(), name
    assert pc.load(f"{s3}/killed").finished


def test_predictions_to_a_store(s3: str, tmp_path: Path) -> None:
    columns = {"y": [1.5, None], "label": ["=a", "b"]}
    for ending in ("csv", "parquet"):
        table_files.write(f"{s3}/answers/x.{ending}", columns)
        table_files.write(tmp_path / f"x.{ending}", columns)
        copy = remote.fetched(f"{s3}/answers/x.{ending}")
        assert copy.read_bytes() == (tmp_path / f"x.{ending}").read_bytes()
    with pytest.raises(PolyceraError, match=r"Cannot write 's3://nobody/x\.csv'"):
        table_files.write("s3://nobody/x.csv", columns)
    with pytest.raises(InputError, match="end the name in"):
        table_files.write(f"{s3}/x.xls", columns)


def test_a_table_of_a_store(store: str) -> None:
    put(f"{store}/t.csv", TABLE)
    rows = sources.open(f"{store}/t.csv")
    assert rows.count() == ROWS
    assert rows.label == "File 'memory://shop/t.csv'"


def test_folders_and_patterns(store: str) -> None:
    for name in ("2024/a.csv", "2025/b.csv", "2025/c.txt"):
        put(f"{store}/all/{name}", name)
    folder = remote.fetched(f"{store}/all")
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*")) == [
        "2024/a.csv",
        "2025/b.csv",
        "2025/c.txt",
    ]
    matched = remote.fetched(f"{store}/all/*/*.csv")
    assert sorted(str(path.relative_to(matched)) for path in matched.rglob("*.*")) == [
        "2024/a.csv",
        "2025/b.csv",
    ]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("memory://shop/nothing.csv", "There is nothing at 'memory://shop/nothing.csv'"),
        ("nostore://shop/a.csv", "Cannot read 'nostore://shop/a.csv'"),
    ],
)
def test_one_sentence(address: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        sources.open(address)
    assert "\n" not in str(caught.value)
