"""The report as a page: everything in it, nothing outside it, and no name on disk can act in it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import chromium
import cv2
import numpy as np
import pytest
from media_fixtures import clip as picture_clip
from test_swap import CLIP, ROOT, SOURCE, swap

from fsvideo import pipeline
from fsvideo.console import Silent
from fsvideo.media import imagemeta, read
from fsvideo.media.provenance import tags
from fsvideo.options import SwapOptions
from fsvideo.report import page
from fsvideo.report.people import people_of
from fsvideo.report.plots import Axis, Line, Plot, figure, lanes
from fsvideo.report.samples import MOST, Sample, choose, take
from fsvideo.swapper import tiny

EXAMPLES = ROOT / "examples"
HOSTILE = "<img src=x onerror=alert(1)>'\"&amp; <script>alert(1)<\\script> \udcff.mp4"


def face(**more: Any) -> dict[str, Any]:
    fixed = {"person": 0, "track": 0, "region": [40, 20, 100, 90], "mask_pixels": 2000, "pose_degrees": [5.0, 2.0, 1.0]}
    likeness = {"similarity_to_source": 0.7, "similarity_to_target": 0.2, "flicker": 2.0, "flicker_of_original": 1.5}
    return {**fixed, "opacity": 1.0, "filled": False, **likeness, **more}


def rows(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"index": n, "seconds": 7 + n / 25, "faces": [face(**more)]} for n in range(count)]


def document(log: list[dict[str, Any]], name: str = "clip.mp4", **more: Any) -> dict[str, Any]:
    said = {"input": name, "output": name, "sources": [name], "notes": [name], "provenance": "c2pa", "per_frame": log}
    counts = {"frames": len(log), "frames_swapped": len(log), "people": 1, "cuts": []}
    return {**said, **counts, "recipe": {"input": "00", "--model": name, "weights": {name: "ab"}}, **more}


def made(log: list[dict[str, Any]], name: str = "clip.mp4", samples: int = 2, **more: Any) -> str:
    picture = np.full((40, 60, 3), 90, np.uint8)
    shown = [Sample(n, n / 25, name, picture, picture) for n in range(samples)]
    times = np.array([row["seconds"] for row in log])
    facts = [("input", name), (name, "value")]
    return page.html(document(log, name, **more), facts, facts, tags("1", "<model>"), shown, times)


class Elements(HTMLParser):
    """Counts the elements of a page and gathers the addresses in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names[tag] += 1
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action", "data", "poster"):
                self.addresses.append(value or "")
            if name.startswith("on") or name == "style":
                self.handlers.append(name)


def test_a_name_is_text_wherever_it_is_shown() -> None:
    text, plain = made(rows(30), HOSTILE), Elements(made(rows(30)))
    text.encode()
    found = Elements(text)
    assert found.names == plain.names and found.names["script"] == 1
    assert found.handlers == []
    assert all(address.startswith("data:") for address in found.addresses)
    assert "&lt;img src=x onerror=alert(1)&gt;" in text


def test_its_policy_lets_this_script_run_and_no_other() -> None:
    text = made(rows(30))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None and policy[1].startswith("default-src 'none'; img-src data:;")
    for name in ("script", "style"):
        body = re.search(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
        assert body is not None
        digest = base64.b64encode(hashlib.sha256(body[1].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy[1]


def test_pictures_are_few_and_the_synthetic_ones_are_marked() -> None:
    text = made(rows(60), samples=MOST + 5)
    pictures = re.findall(r'<img class="(\w+)"[^>]*src="data:image/webp;base64,([^"]*)"', text)
    assert len(pictures) == 2 * MOST == 48
    for kind, code in pictures[:2]:
        blob = base64.b64decode(code)
        assert cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_COLOR).shape == (40, 60, 3)
        assert (b"AI-edited" in blob) == (kind == "after")
    assert imagemeta._from_webp(base64.b64decode(pictures[0][1])).text["comment"] == tags("1", "<model>")["comment"]


def test_it_says_what_was_swapped_and_what_was_not() -> None:
    assert "The output is synthetic" in made(rows(30))
    empty = page.html(document([], provenance="none"), [], [], tags("1", "x"), [], np.arange(30) / 25)
    assert "shows what the input shows" in empty and "synthetic.</strong>" not in empty
    one = made(rows(1), samples=1)  # an image
    assert '<figure class="pair">' in one and '<figure class="plot">' not in one


def test_a_line_breaks_between_tracks_and_keeps_its_extremes() -> None:
    times = np.arange(20_000) / 25
    values = np.sin(times)
    values[12_345] = 9.0
    values[5000:6000] = np.nan
    tracks = np.where(times < 400, 1, 2)
    drawn = figure(Plot("t", "u", "a", [Line("l", values)], tracks), Axis(times, [400.0]))
    line = re.search(r'class="line line0" data-name="l" d="([^"]*)"', drawn)
    assert line is not None
    assert line[1].count("M") == 3 and line[1].count("L") <= 501  # a gap and a cut
    band = re.search(r'class="band line0" d="([^"]*)"', drawn)
    assert band is not None and min(float(y) for y in re.findall(r",([\d.-]+)", band[1])) < 15  # the 9 of -2 to 10
    assert len(drawn) < 40_000
    assert drawn.count('class="cut"') == 1


def test_lanes_show_who_is_swapped_and_where_places_were_filled_in() -> None:
    swapped, filled = np.zeros(100, bool), np.zeros(100, bool)
    swapped[20:60] = True
    filled[30] = True
    drawn = lanes([("A & B", swapped, filled)], Axis(np.arange(100) / 25))
    bars = re.findall(r'<rect class="(\w+)" x="([\d.]+)%" [^>]*width="([\d.]+)%"', drawn)
    assert [(k, round(float(x)), round(float(w))) for k, x, w in bars] == [("swapped", 20, 40), ("filled", 30, 1)]
    assert "A &amp; B" in drawn


def test_people_are_told_apart_over_time() -> None:
    log = rows(10)
    log[4]["faces"].append(face(person=3, track=9, flicker=None, flicker_of_original=None, filled=True))
    log[7]["faces"] = []
    first, second = people_of(log)
    assert (first.name, int(first.swapped.sum()), second.name) == ("Person 1", 9, "Person 4")
    assert np.flatnonzero(second.filled).tolist() == [4] and np.isnan(second.flicker).all()
    assert np.nanmean(first.added) == pytest.approx(0.5)
    assert "not measured" in made(log)


def test_extremes_are_among_the_frames_that_are_shown() -> None:
    log = rows(500)
    log[100]["faces"][0]["flicker"] = 30.0
    log[200]["faces"][0]["similarity_to_source"] = -0.2
    log[300]["faces"][0]["pose_degrees"] = [-60.0, 0.0, 0.0]
    log[499]["faces"] = []
    chosen = choose(log)
    assert len(chosen) <= MOST and list(chosen) == sorted(chosen) and 499 not in chosen
    said = {n: why for n, why in chosen.items() if why}
    assert said == {100: "most flicker", 200: "least like the source", 300: "most turned away"}
    assert list(choose(rows(3))) == [0, 1, 2] and choose([]) == {}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a real run, whose swapper returns its input, on a file with a hostile name."""
    folder = tmp_path_factory.mktemp("report")
    clip = folder / "<img src=x onerror=alert(1)>'\"&amp; <script>alert(1)<\\script>.mp4"
    clip.write_bytes(CLIP.read_bytes())
    swap(
        clip,
        folder / "out.mp4",
        "--model",
        "unchanged",
        "--start",
        "0.2",
        "--end",
        "0.6",
        "--report",
        folder / "r.html",
    )
    return folder / "r.html"


def test_a_run_leaves_a_page(report: Path) -> None:
    text = report.read_text("utf-8")
    found = Elements(text)
    assert found.names["script"] == 1 and found.handlers == []
    assert all(address.startswith("data:") for address in found.addresses)
    assert found.names["img"] == 20  # each of ten frames, before and after
    assert hashlib.sha256((report.parent / "out.mp4").read_bytes()).hexdigest() in text
    assert "valid: the file is as it was signed" in text
    likeness = re.search(
        r"Flicker, levels of 255\. of the result: mean ([\d.]+).*?of the original: mean ([\d.]+)", text
    )
    assert likeness is not None
    assert float(likeness[1]) == pytest.approx(float(likeness[2]), abs=0.05) and float(likeness[2]) > 0.1
    assert [path.name for path in report.parent.iterdir() if path.name.startswith(".")] == []


def test_both_pictures_of_a_pair_are_of_one_moment(report: Path, tmp_path: Path) -> None:
    info, after = read.probe(CLIP), read.probe(report.parent / "out.mp4")
    log = [{**row, "seconds": 0.2 + n / 25} for n, row in enumerate(rows(10))]
    samples = list(take(info, after, log))
    assert [s.index for s in samples] == list(range(10))
    apart = [[float(np.abs(a.before.astype(int) - b.after).mean()) for b in samples] for a in samples]
    assert np.diag(apart).max() < 2
    assert np.array(apart).argmin(1).tolist() == list(range(10))


def test_an_image_a_folder_and_a_clip_of_nobody_have_reports_too(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes((EXAMPLES / "astronaut.png").read_bytes())
    nobody = picture_clip(tmp_path / "nobody.mp4", seconds=1)
    swapper = tiny()
    for source, output, pictures in (
        (EXAMPLES / "astronaut.png", "out.png", 2),
        (folder, "folder", 4),
        (nobody, "out.mp4", 0),
    ):
        page_of = tmp_path / f"{output}.html"
        reel = tmp_path / "reel.mp4" if source == nobody else None
        options = SwapOptions((SOURCE,), source, tmp_path / output, model="tiny", report=page_of, compare=reel)
        pipeline.swap(options, swapper, Silent())
        text = page_of.read_text("utf-8")
        assert Elements(text).names["img"] == pictures, output
        assert ("The output is synthetic" in text) == (source != nobody)
    assert "no face to swap was found: the input was copied" in text and "shows what the input shows" in text
    assert read.probe(tmp_path / "reel.mp4").frames == 25


def test_a_report_is_a_page_or_data(tmp_path: Path) -> None:
    said = swap(CLIP, tmp_path / "out.mp4", "--model", "unchanged", "--report", tmp_path / "r.txt", code=1)
    assert "name it .html or .json" in said.stderr and list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_page_works_in_a_browser(report: Path) -> None:
    program = chromium.find()
    if program is None:
        pytest.skip("no Chromium is installed")
    with chromium.Browser(program) as browser:
        browser.view(1280, 900)
        browser.open(report)
        assert browser.js("document.title").endswith("fsvideo report")
        at = "document.querySelectorAll('.pair')[1].style.getPropertyValue('--at')"
        width = "document.querySelectorAll('.pair .before')[1]"
        assert browser.js(f"{width}.naturalWidth") > 100
        browser.js("document.querySelectorAll('.pair input')[1].focus()")
        for _ in range(3):
            browser.key("ArrowRight", 39)
        assert browser.js(at) == "53%"
        assert "47%" in browser.js(f"getComputedStyle({width}).clipPath")
        browser.js("all.value = 10; all.dispatchEvent(new Event('input'))")
        assert browser.js(at) == "10%"
        area = "document.querySelector('.plot svg.area')"
        browser.js(f"{area}.dispatchEvent(new PointerEvent('pointermove', {{clientX: 200}}))")
        assert re.match(r"\d\.\d\d s: to the source", browser.js("document.querySelector('.plot output').textContent"))
        light = browser.js("getComputedStyle(document.body).backgroundColor")

        browser.view(390, 844, dark=True, phone=True)
        assert browser.js("getComputedStyle(document.body).backgroundColor") != light
        assert browser.js("document.documentElement.scrollWidth") <= 390
        browser.js("document.querySelectorAll('.pair')[1].scrollIntoView({block: 'center'})")
        stage = "document.querySelectorAll('.pair .stage')[1].getBoundingClientRect()"
        x, y, wide = browser.js(f"(box => [box.x, box.y + box.height / 2, box.width])({stage})")
        browser.touch(x + 0.8 * wide, y)
        assert 75 <= float(browser.js(at).rstrip("%")) <= 85

        browser.js("new Promise(done => setTimeout(done, 300))")
        told = Counter(event["method"] for event in browser.events)
        assert told["Network.requestWillBeSent"] > 0
        for method in (
            "Log.entryAdded",
            "Runtime.exceptionThrown",
            "Runtime.consoleAPICalled",
            "Page.javascriptDialogOpening",
        ):
            assert told[method] == 0, [event for event in browser.events if event["method"] == method]
        asked = {e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"}
        assert {url for url in asked if not url.startswith("data:")} == {report.as_uri()}
