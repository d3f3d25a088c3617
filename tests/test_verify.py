"""`fsvideo verify` on other people's files."""

from __future__ import annotations

import http.server
import io
import shutil
import threading
from pathlib import Path

import c2pa
import pytest
from provenance_fixtures import AI_EDITED, run

from fsvideo.media.provenance import examine
from fsvideo.media.seal import Seal
from fsvideo.types import MediaError


def foreign(target: Path, source: Path, seal: Seal, title: str = "x", url: str = "") -> Path:
    """A picture signed by another tool; with ``url`` its manifest lies there and not in it."""
    created = {"action": "c2pa.created", "digitalSourceType": AI_EDITED.replace("compositeWithT", "t")}
    statement = {
        "claim_generator_info": [{"name": title, "version": "9"}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}],
    }
    own = seal.certificate
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", own.chain.encode(), own.key.encode(), None))
    builder = c2pa.Builder(statement)
    if url:
        builder.set_no_embed()
        builder.set_remote_url(url)
    made = io.BytesIO()
    with source.open("rb") as file:
        builder.sign(signer, "image/jpeg", file, made)
    target.write_bytes(made.getvalue())
    return target


def test_other_tools_are_read_and_cannot_act_on_the_terminal(inputs: Path, tmp_path: Path, seal: Seal) -> None:
    path = foreign(tmp_path / "a.jpg", inputs / "clip_jpg.jpg", seal, title="Other\x1b[2J\nTool")
    done = run("verify", path)
    assert "\x1b[2J" not in done.stderr and "Other" in done.stderr and "trainedAlgorithmicMedia" in done.stderr
    manifest = examine(path).manifest
    assert manifest is not None and manifest.steps[0].actions == ("c2pa.created",) and manifest.steps[0].model == ""


def test_nothing_is_fetched_from_the_network(inputs: Path, tmp_path: Path, seal: Seal) -> None:
    asked: list[str] = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/far.c2pa"
        far = foreign(tmp_path / "far.jpg", inputs / "clip_jpg.jpg", seal, url=url)
        asked.clear()
        statement = examine(far)
        part = Path(shutil.copy(inputs / "clip_jpg.jpg", tmp_path / "x.part"))
        seal.apply(part, tmp_path / "x.jpg", far)
        server.shutdown()
    assert asked == []
    assert statement.manifest is not None and statement.manifest.state == "unread"
    assert url in statement.manifest.problems[0] and statement.state == "nothing"


@pytest.mark.parametrize("content", [b"", b"just words", b"\xff\xd8\xff\xe0 cut", b"\0\0\0\x18ftypmp42" + bytes(200)])
def test_rubbish_is_told_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rubbish.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"rubbish\.mp4"):
        examine(path)


def test_verify_on_rubbish_and_on_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rubbish.jpg"
    path.write_bytes(b"just words")
    for name in (path, tmp_path / "missing.mp4", tmp_path):
        done = run("verify", name, code=1)
        assert str(name) in done.stderr.replace("\n", "") and len(done.stderr.splitlines()) <= 3
