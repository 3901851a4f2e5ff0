"""Films are read back as they were written; what cannot be a film is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zerosum.data.video import save_video


def ramps(count: int = 5, height: int = 30, width: int = 20, channels: int = 3) -> np.ndarray:
    """Frames of one brightness each, brighter and brighter."""
    levels = np.linspace(20, 220, count).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, height, width, channels)).copy()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_gif_holds_every_frame_enlarged_by_a_whole_number(tmp_path: Path, channels: int) -> None:
    save_video(tmp_path / "walk.gif", ramps(channels=channels), rate=10)
    with Image.open(tmp_path / "walk.gif") as film:
        assert (film.n_frames, film.size) == (5, (20 * 12, 30 * 12))
        assert film.info["duration"] == 100
        assert film.info["loop"] == 0
        for number, frame in enumerate(ramps()):
            film.seek(number)
            shown = np.asarray(film.convert("RGB"))
            assert np.abs(shown.astype(int) - int(frame[0, 0, 0])).max() <= 2


@pytest.mark.parametrize(("channels", "size"), [(1, (30, 20)), (3, (30, 20)), (3, (301, 257))])
def test_an_mp4_holds_every_frame_and_odd_sides_become_even(
    tmp_path: Path, channels: int, size: tuple[int, int]
) -> None:
    av = pytest.importorskip("av")
    frames = ramps(5, *size, channels)
    save_video(tmp_path / "walk.mp4", frames, rate=10)
    with av.open(str(tmp_path / "walk.mp4")) as film:
        assert film.streams.video[0].average_rate == 10
        shown = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    times = 12 if size[0] == 30 else 1
    assert len(shown) == 5
    assert shown[0].shape == (*(times * side + times * side % 2 for side in size), 3)
    for one, frame in zip(shown, frames, strict=True):
        assert abs(float(one.mean()) - float(frame.mean())) < 4


def test_what_cannot_be_a_film_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, frames, rate, message in [
        ("walk.avi", ramps(), 10, r"walk.avi: name a file ….mp4 or ….gif"),
        ("walk.gif", ramps(), 0, "--rate must be from 1 to 50"),
        ("walk.gif", ramps().astype(np.float32), 10, "frames are float32"),
        ("walk.gif", ramps(0), 10, "expected uint8"),
    ]:
        with pytest.raises(ValueError, match=message):
            save_video(tmp_path / name, frames, rate)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match=r"PyAV: pip install 'zerosum\[video\]', or name the file ….gif"):
        save_video(tmp_path / "walk.mp4", ramps())
    assert list(tmp_path.iterdir()) == []
