"""What the watch told, as a report shows it."""

from pathlib import Path

from tests.pages import event, report, run

__all__ = ["run"]  # a fixture

TOLD = {"evidence": "its loss is <b>0.01</b>", "remedies": "--critic-lr 0.0001 (half of it) or --clip 1"}


def test_a_report_shows_what_was_told_and_its_state_is_not_the_watchs(run: Path) -> None:
    told = [
        event("watch", 640, diagnosis="critic saturated", state="begins", **TOLD),
        event("watch", 960, diagnosis="critic saturated", state="ends"),
        event("watch", 1280, diagnosis="oscillation", state="begins", **TOLD),
    ]
    with (run / "metrics.jsonl").open("a") as file:
        file.writelines(f"\n{entry}\n" for entry in told)
    page = report(run)
    for text in ("The watch", "images 640 to 960", "images 1280 to the last", "<b>0.01</b>", "--critic-lr"):
        assert text in page.text.replace("<br>", ""), text
    assert "finished" in page.text
    assert "watch at" not in page.text


def test_a_report_of_a_run_of_which_nothing_was_told_has_no_such_table(run: Path) -> None:
    assert "The watch" not in report(run).text
