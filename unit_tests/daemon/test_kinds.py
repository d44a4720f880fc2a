"""Which of the API server's resources an object is one of."""

import pytest

from daemon.kinds import OLDER_TEMPLATES, TEMPLATES, templates_like


@pytest.mark.parametrize("resource", [TEMPLATES, *OLDER_TEMPLATES], ids=lambda resource: resource.version)
def test_a_template_is_written_in_the_version_in_which_it_was_read(resource):
    assert templates_like({"apiVersion": resource.api_version}) == resource


def test_one_that_says_nothing_of_its_version_is_of_the_newest():
    assert templates_like({}) == TEMPLATES
