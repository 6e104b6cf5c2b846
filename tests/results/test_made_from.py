from pathlib import Path

from lwft_bench.results.made_from import inputs_digest, is_current, note


def test_a_report_is_current_until_what_it_was_made_from_changes(tmp_path: Path) -> None:
    cell = tmp_path / "cells" / "a"
    cell.mkdir(parents=True)
    (tmp_path / "suite.json").write_text("{}")
    (cell / "result.json").write_text("{}")
    (cell / "samples.jsonl").write_text("{}\n")
    assert not is_current(tmp_path)
    note(tmp_path, inputs_digest(tmp_path))
    assert is_current(tmp_path)
    (tmp_path / "report.md").write_text("nothing that it is made from")
    assert is_current(tmp_path)
    for path, text in {
        cell / "result.json": "[]",
        cell / "samples.jsonl": "{}\n{}\n",
        tmp_path / "suite.json": "[]",
        tmp_path / "cells" / "b" / "result.json": "{}",
    }.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        assert not is_current(tmp_path), path
        note(tmp_path, inputs_digest(tmp_path))
    (tmp_path / "report.sha256").write_bytes(b"\xff")
    assert not is_current(tmp_path)
