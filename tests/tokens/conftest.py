import inspect

import pytest

from tests.net.loop_errors import loop_errors


@pytest.fixture(autouse=True)
def errors_of_the_loop_fail(request):
    if inspect.iscoroutinefunction(request.function):
        request.getfixturevalue("no_loop_error")


@pytest.fixture
async def no_loop_error():
    with loop_errors() as found:
        yield
    assert not found
