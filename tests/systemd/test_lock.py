"""The lock file and the declared dependencies."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
RUN = REPOSITORY / "requirements.lock"
TEST = REPOSITORY / "tests" / "requirements.lock"
AGENT = REPOSITORY / "tests" / "agents" / "requirements.lock"
GROUPS = PROJECT["dependency-groups"]
WISHES = [
    *((RUN, wish) for wish in PROJECT["project"]["dependencies"]),
    *((RUN, wish) for wish in GROUPS["build"]),
    *((TEST, wish) for wish in GROUPS["dev"]),
]


def locked(path):
    """Return name → version of everything that a lock file installs."""
    pins = re.findall(r"^([\w.-]+)==([^ ]+)", path.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.parametrize(("lock", "wish"), WISHES, ids=str)
def test_the_lock_file_has_what_the_project_requires(lock, wish):
    requirement = Requirement(wish)
    version = locked(lock)[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version)


def test_the_build_backend_is_the_locked_one():
    assert PROJECT["build-system"]["requires"] == GROUPS["build"]


def test_the_two_lock_files_agree():
    run, test = locked(RUN), locked(TEST)
    assert {
        name: test[name] for name in run.keys() & test.keys()
    }.items() <= run.items()


@pytest.mark.parametrize("lock", [RUN, TEST, AGENT], ids=str)
def test_every_package_has_a_hash_and_no_origin(lock):
    text = lock.read_text()
    packages = re.findall(
        r"^[\w.-]+==.*(?:\n    --hash=sha256:[0-9a-f]{64}.*)+", text, re.MULTILINE
    )
    assert len(packages) == len(locked(lock))
    assert "://" not in text
