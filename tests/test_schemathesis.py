"""schemathesis on a live door, for a short while; tests.schemathesis_full does it at length."""

from tests.schemathesis_full import run


def test_schemathesis__every_answer_is_one_that_the_document_names(tmp_path):
    found = run(tmp_path, "--phases", "examples,coverage", "--max-examples", "1", "--seed", "1")
    assert found.returncode == 0, found.stdout
    assert "30 selected / 30 total" in found.stdout, found.stdout
