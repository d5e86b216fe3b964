"""Keys of the guest's cached files."""

import pytest

from tests.guest.cache import INSTALLED, key


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("1")
    (tmp_path / "lock").write_text("x")
    return tmp_path


def key_of(tree, *words):
    return key([tree / "code", tree / "lock"], *words)


def test_the_same_files_have_the_same_key(tree):
    assert key_of(tree) == key_of(tree)


def test_the_key_changes_with_a_file_its_name_and_what_is_beneath(tree):
    keys = {key_of(tree), key_of(tree, "another kernel")}
    (tree / "lock").write_text("y")
    keys.add(key_of(tree))
    (tree / "code" / "a.py").rename(tree / "code" / "b.py")
    keys.add(key_of(tree))
    (tree / "code" / "c.py").touch()
    keys.add(key_of(tree))
    assert len(keys) == 5


def test_text_that_moves_from_one_file_to_the_next_changes_the_key(tree):
    (tree / "code" / "b.py").write_text("2")
    before = key_of(tree)
    (tree / "code" / "a.py").write_text("12")
    (tree / "code" / "b.py").write_text("")
    assert key_of(tree) != before


def test_what_python_compiles_does_not_change_the_key(tree):
    before = key_of(tree)
    (tree / "code" / "__pycache__").mkdir()
    (tree / "code" / "__pycache__" / "a.pyc").write_text("compiled")
    assert key_of(tree) == before


def test_everything_that_is_installed_exists():
    assert [path for path in INSTALLED if not path.exists()] == []
