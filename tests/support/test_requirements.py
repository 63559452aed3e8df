"""The line at the end of a test run that names missing programs."""

from tests.support.requirements import missing, untested


def test_one_line_says_how_many_tests_lacked_what_and_what_installs_it() -> None:
    clang = missing("clang", "wasm-ld", command="apt-get install clang lld")
    wrk = "Skipped: " + missing("wrk", command="apt-get install wrk")
    data = missing("the data sets", command="NEURALBITS_DATA=FOLDER make test")
    assert untested([clang, wrk, wrk, data, "another compiler"]) == (
        "not tested here: 2 for lack of wrk, 1 for lack of clang and wasm-ld, "
        "1 for lack of the data sets, 1 for the reasons above; to test them: "
        "apt-get install clang lld wrk && NEURALBITS_DATA=FOLDER make test"
    )


def test_without_missing_requirements_there_is_no_line() -> None:
    assert untested([]) is None
    assert untested(["another compiler"]) == "not tested here: 1 for the reasons above"
