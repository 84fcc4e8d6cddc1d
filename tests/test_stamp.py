"""When a file counts as another one."""

from pathlib import Path

from worker.stamp import stamp


def test_a_stamp_changes_when_its_link_is_moved_and_when_the_file_comes_and_goes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text("same")
    link = tmp_path / "link"
    assert stamp(link) is None
    link.symlink_to("one")
    first = stamp(link)
    link.unlink()
    link.symlink_to("two")
    assert None is not stamp(link) != first
    (tmp_path / "two").write_text("other, longer")
    assert stamp(link) != first


def test_a_folder_s_stamp_is_of_the_files_that_a_glob_could_find(tmp_path: Path) -> None:
    empty = stamp(tmp_path)
    (tmp_path / "probe.prom").write_text("")
    assert stamp(tmp_path) == empty
    (tmp_path / "more.yaml").write_text("")
    assert stamp(tmp_path) == ("more.yaml",)
