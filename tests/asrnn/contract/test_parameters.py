"""A cell whose `num_parameters` fails must fail the check; the check itself must not."""

import pytest
from broken_models import CountsTwice
from contract_support import verdict


@pytest.mark.parametrize("check", ["builds", "parameters"])
@pytest.mark.parametrize("returned", [None, "many", ZeroDivisionError("no parameter")])
def test_a_count_of_parameters_that_is_not_a_number_fails(returned: object, check: str) -> None:
    class CountsWrongly(CountsTwice):
        def num_parameters(self) -> int:
            if isinstance(returned, Exception):
                raise returned
            return returned

    assert verdict(CountsWrongly, check).outcome == "failed"
