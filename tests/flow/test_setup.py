"""`make setup`: played through in a copy with stand-ins for pip and mmdebstrap; the lock; make."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flow import versions
from flow.paths import ROOT
from flow.setup import locked

TARGETS = [
    *("setup", "demo", "train", "export", "lower", "simulate", "bitstream", "report"),
    *("notebook", "deploy", "study", "test", "test-all", "lint", "bench", "help"),
]


def stand_in(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def bootstrap(yosys: str = "0.66-1") -> str:
    """A stand-in for mmdebstrap, which only writes dpkg's list into the new root."""
    found = {name: f"{tried[0]}-1" for name, tried in versions.TRIED.items()} | {"yosys": yosys}
    packages = (ROOT / "flow/setup/packages.txt").read_text().splitlines()
    names = [name for name in packages if name and not name.startswith("#")]
    records = "\n".join(
        f"Package: {name}\nStatus: install ok installed\nVersion: {found.get(name, '1-1')}\n"
        for name in names
    )
    # The root is the second argument from the end, as in `mmdebstrap ... SUITE ROOT MIRROR`.
    return f"""
        echo "$@" >>calls
        into=${{@: -2:1}}/var/lib/dpkg
        mkdir -p "$into"
        [ -e interrupted ] && exit 1
        cat >"$into/status" <<'END'\n{records}\nEND"""


class Checkout:
    """A copy of what setup needs, whose outside world is made of stand-ins."""

    def __init__(self, folder: Path):
        self.folder = folder
        shutil.copytree(ROOT / "flow/setup", folder / "flow/setup")
        for name in ("__init__", "errors", "paths", "tools", "versions"):
            shutil.copy(ROOT / f"flow/{name}.py", folder / "flow")
        for name in ("requirements.lock", "pyproject.toml"):
            shutil.copy(ROOT / name, folder / name)
        (folder / "hw/driver").mkdir(parents=True)
        for lock in (ROOT / "hw/driver").glob("*.lock"):
            shutil.copy(lock, folder / "hw/driver")
        for script, made in (("python", ".venv/bin/hanbit"), ("pynq", ".tools/pynq/bin/python")):
            stand_in(
                folder / f"flow/setup/{script}.sh",
                f"mkdir -p {Path(made).parent}; cp bin/true {made}",
            )
        stand_in(folder / "bin/true", "true")
        stand_in(folder / "bin/mmdebstrap", bootstrap())
        # The real interpreter, on a machine that lets us mount.
        stand_in(folder / "bin/python", f'[ "$3" = may-chroot ] || exec {sys.executable} "$@"')
        stand_in(folder / "bin/apt-get", "echo 'http://there/debian|Debian|Debian|main'")

    def setup(self, **environment: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "PYTHON": str(self.folder / "bin/python"),
            **environment,
        }
        return subprocess.run(
            ["bash", "flow/setup/setup.sh"],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def checkout(tmp_path) -> Checkout:
    return Checkout(tmp_path)


def test_setup_twice_does_nothing_the_second_time(checkout):
    first = checkout.setup()
    assert first.returncode == 0, first.stderr
    assert "setup: done in" in first.stdout
    assert (checkout.folder / ".tools/debian/var/lib/dpkg/status").is_file()
    assert checkout.calls[0].endswith("forky .tools/debian.new http://there/debian")
    second = checkout.setup()
    assert second.returncode == 0
    assert second.stdout == "setup: already done, nothing to do\n"
    assert len(checkout.calls) == 1


def test_setup_keeps_the_tools_when_only_the_lock_changes(checkout):
    assert checkout.setup().returncode == 0
    with (checkout.folder / "requirements.lock").open("a") as lock:
        lock.write("# another line\n")
    again = checkout.setup()
    assert again.returncode == 0
    assert ".tools/debian is there" in again.stdout
    assert len(checkout.calls) == 1


def test_interrupted_setup_leaves_no_half_tools_and_goes_on(checkout):
    (checkout.folder / "interrupted").touch()
    broken = checkout.setup()
    assert broken.returncode == 2
    assert "`mmdebstrap` ended with status 1" in broken.stderr
    assert not (checkout.folder / ".tools/debian").exists()
    assert not (checkout.folder / ".tools/setup.done").exists()
    (checkout.folder / "interrupted").unlink()
    assert checkout.setup().returncode == 0
    assert (checkout.folder / ".tools/debian").is_dir()


@pytest.mark.parametrize("script", ["python", "pynq"])
def test_failed_python_step_fails_setup(checkout, script):
    stand_in(checkout.folder / f"flow/setup/{script}.sh", "exit 3")
    assert checkout.setup().returncode == 2
    assert not (checkout.folder / ".tools/setup.done").exists()


def test_version_that_was_not_tried_is_not_installed(checkout):
    stand_in(checkout.folder / "bin/mmdebstrap", bootstrap(yosys="0.99-1"))
    refused = checkout.setup()
    assert refused.returncode == 2
    assert "error: version not tried with this project: yosys 0.99-1" in refused.stderr
    assert not (checkout.folder / ".tools/debian").exists()
    assert checkout.setup(**{versions.ALLOW_UNTRIED: "1"}).returncode == 0


def test_old_python_is_refused_in_one_line(checkout):
    stand_in(checkout.folder / "bin/python", '[ "$1" = -V ] && echo Python 3.9.2; exit 1')
    refused = checkout.setup()
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "Python 3.11 or newer is needed" in refused.stderr
    assert "Python 3.9.2" in refused.stderr


@pytest.mark.parametrize(
    ("targets", "mirror"),
    [
        (
            "http://a/other|Other|Other|main\nhttp://b/security|Debian|Debian-Security|main\n"
            "http://c/debian|Debian|Debian|contrib\nhttp://d/debian|Debian|Debian|main",
            "http://d/debian",
        ),
        ("http://a/ubuntu|Ubuntu|Ubuntu|main", None),
    ],
)
def test_mirror_is_the_hosts_own(checkout, targets, mirror):
    stand_in(checkout.folder / "bin/apt-get", f'[ "$1" = indextargets ] && echo "{targets}"; true')
    done = checkout.setup()
    if mirror:
        assert checkout.calls[0].endswith(mirror)
        return
    assert done.returncode == 2
    assert "set DEBIAN_MIRROR" in done.stderr
    assert not checkout.calls
    assert checkout.setup(DEBIAN_MIRROR="http://mine/debian").returncode == 0
    assert checkout.calls[0].endswith("http://mine/debian")


# --- the lock file ----------------------------------------------------------------------------


def test_everything_locked_is_installed():
    assert locked.missing(ROOT / "requirements.lock") == []


@pytest.mark.parametrize(
    ("lock", "among"),
    [
        ("", "torch brevitas qonnx finn-plus unfoldnd pytest ruff mypy"),
        ("hw/driver/", "pynq numpy grpcio pycparser matplotlib nbclient nbformat ipykernel"),
    ],
)
def test_lock_pins_and_sorts_every_package(lock, among):
    lines = (ROOT / f"{lock}requirements.lock").read_text().splitlines()
    packages = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in packages)
    names = [line.split("==")[0].lower() for line in packages]
    assert len(set(names)) == len(names)
    for name in among.split():
        assert name in names


def test_interrupted_environment_of_pynq_is_installed_again(checkout):
    assert checkout.setup().returncode == 0
    (checkout.folder / ".tools/pynq/installing").touch()
    again = checkout.setup()
    assert "nothing to do" not in again.stdout


def test_missing_and_other_versions_are_found(tmp_path, monkeypatch):
    installed = {"torch": "2.13.0+cpu", "numpy": "1.0"}

    def version(name: str) -> str:
        if name not in installed:
            raise locked.importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(locked.importlib.metadata, "version", version)
    lock = tmp_path / "lock"
    lock.write_text("# comment\ntorch==2.13.0\nnumpy==2.0 # why\nbrevitas==0.13.4\n")
    assert locked.missing(lock) == ["numpy==2.0", "brevitas==0.13.4"]
    lock.write_text("torch>=2\n")
    with pytest.raises(ValueError, match="name==version"):
        locked.missing(lock)


# --- the front door ---------------------------------------------------------------------------


def make(*arguments: str) -> str:
    """What make prints; `make test` around it must not show through in its variables."""
    return subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_help_lists_every_target():
    assert re.findall(r"^  make ([a-z-]+) ", make("help"), re.MULTILINE) == TARGETS


@pytest.mark.parametrize("target", ["train", "export", "lower", "simulate", "bitstream", "report"])
def test_stage_targets_pass_their_options(target):
    recipe = make("-n", target, "PRESET=tfc-mnist", "BOARD=other", "SEED=7")
    expected = f".venv/bin/hanbit {target} --preset 'tfc-mnist' --board 'other' --seed '7'"
    assert expected in recipe.splitlines()[-1]


def test_bench_has_a_preset_of_its_own():
    def recipe(*options):
        words = shlex.split(make("-n", "bench", *options).replace("\\\n", ""))
        return words[words.index(".venv/bin/hanbit") :]

    assert recipe() == [".venv/bin/hanbit", "bench"]
    assert recipe("PRESET=sfc-mnist") == [".venv/bin/hanbit", "bench", "--preset", "sfc-mnist"]
    assert recipe("ONLY=shell") == [".venv/bin/hanbit", "bench", "--only", "shell"]


def test_demo_is_setup_and_a_report_that_trains():
    recipe = make("-n", "-W", "requirements.lock", "demo").splitlines()
    assert recipe[-2] == "flow/setup/setup.sh"
    hanbit = ".venv/bin/hanbit report --preset mlp-digits --board pynq-z2 --train"
    assert shlex.split(recipe[-1]) == hanbit.split()


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        (("bitstream",), []),
        (("bitstream", "TRAIN=0"), []),
        (("bitstream", "TRAIN=1"), ["--train"]),
        (("demo", "TRAIN=0"), ["--train"]),
        (("train", "SEEDS=6"), ["--seeds", "6"]),
    ],
)
def test_training_is_asked_for_by_a_variable(given, passed):
    last = shlex.split(make("-n", *given).splitlines()[-1])
    assert last[last.index("pynq-z2") + 1 :] == passed


def test_no_address_of_a_machine_is_written_down():
    files = [ROOT / name for name in ("Makefile", "Dockerfile", ".ci/run", "requirements.lock")]
    files += sorted((ROOT / "flow/setup").glob("*.*"))
    assert len(files) > 8
    assert [file for file in files if re.search(r"(https?|ftp)://", file.read_text())] == []
