"""A finished run, and its report as a page read back: for the tests of the report."""

import base64
import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from zerosum.report import write_report

RECIPE: dict[str, Any] = {
    "zerosum": "0.1.0",
    "recipe": "dcgan",
    "arguments": {"latent": 100, "objective": "non-saturating", "penalty": ["r1:weight=10"], "bias": False},
    "data": {
        "where": "my photos",
        "size": [48, 80],
        "channels": None,
        "flip": False,
        "name": "my photos",
        "count": 60000,
        "fingerprint": "ab12" * 16,
        "classes": ["cat", "dog"],
        "format": {"shape": [1, 48, 80], "dtype": "uint16", "low": 0.0, "high": 4095.0},
        "notes": ["resized with antialiasing"],
        "set_aside": 3,
    },
    "training": {"images": 5000, "seed": 7, "precision": "fp32", "clip": None},
    "environment": {"python": "3.11.7", "torch": "2.13.0", "processor": "a processor", "processes": 1},
}


class Page(HTMLParser):
    """The elements of a page, its text, and its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def pictures(self) -> list[Image.Image]:
        sources = [image["src"] or "" for image in self.all("img")]
        return [Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) for source in sources]


def line(images: int, **values: float) -> str:
    entry = {"step": images // 64, "images": images, "seconds": images / 80, "rate": 80.0}
    return json.dumps(entry | {name.replace("__", "/"): value for name, value in values.items()})


def event(name: str, images: int, **more: str) -> str:
    return json.dumps({"event": name, "images": images, "time": "2026-11-22T03:04:05+00:00", **more})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of 5000 images with three grids."""
    path = tmp_path / "photos"
    (path / "samples").mkdir(parents=True)
    (path / "checkpoints").mkdir()
    (path / "checkpoints" / "000000005000.safetensors").touch()
    (path / "recipe.json").write_text(json.dumps(RECIPE))
    lines = [
        line(images, critic__real=0.6, critic__fake=0.4, critic__adversarial=1.3, critic__gradient=2.0)
        for images in range(100, 5001, 100)
    ]
    (path / "metrics.jsonl").write_text(
        "\n".join([event("started", 0), *lines, event("finished", 5000)]) + "\n"
    )
    for images in (1000, 2000, 5000):
        grid(path, images)
    return path


def grid(run: Path, images: int, value: int = 128) -> None:
    Image.new("L", (32, 16), value).save(run / "samples" / f"{images:012d}.png")


def report(run: Path) -> Page:
    return Page(write_report(run).read_text(encoding="utf-8"))
