"""The ready-to-run configurations are valid, with certificates made as their README says, and nothing to complain of."""
import shutil
import subprocess

import pytest

from harness.proxy import ROOT, martlet

FOLDERS = sorted(path.name for path in (ROOT / "mesh-config").iterdir() if list(path.glob("*.yaml")))


def test_there_are_some():
    assert len(FOLDERS) >= 7


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_ready_configuration_is_valid(folder, tmp_path):
    for path in (ROOT / "mesh-config" / folder).glob("*.yaml"):
        shutil.copy(path, tmp_path)
    subprocess.run([ROOT / "certs/make", tmp_path / "certs"], check=True, capture_output=True)
    result = martlet("validate", tmp_path)
    assert result.returncode == 0 and result.stdout.strip().endswith("valid, 0 errors, 0 warnings"), result.stdout
