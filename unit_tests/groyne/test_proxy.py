"""What an edit changes in the files that Envoy reads."""

import json

from dataplane.compile import Options
from dataplane.secrets import Layout
from groyne import clock
from groyne.proxy import Proxy
from groyne.rundir import RunDirectory
from groyne.trust import Trust
from unit_tests.groyne.written import workspace
from unit_tests.policy.profiles import rule, token

PLACEHOLDER = "sk-GROYNE000000000000000"


def keyed(tmp_path, *hosts):
    return workspace(tmp_path, rule(match=[{"domains": list(hosts), "schemes": ["https"]}], tokenTransformation=token()))


def test_an_edit_moves_the_hosts_where_a_placeholder_is_at_home(tmp_path):
    def away(host):
        """Whether the placeholder is refused in this host's headers; in its path it always is."""
        table = json.loads((run / "rds-explicit.json").read_text())["resources"][0]
        found = next(each for each in table["virtual_hosts"] if each["name"] == host)
        return json.dumps(found).count(PLACEHOLDER) > 1

    policy, run = tmp_path / "policy", tmp_path / "run"
    policy.mkdir()
    run.mkdir()
    before = keyed(policy, "a.test")
    [credential] = before.credentials.by_name
    proxy = Proxy(
        directory=RunDirectory(private=run, public=run),
        trust=Trust.fresh(clock.now()),
        options=Options(layout=Layout(directory=str(run)), address={}, admin_socket=""),
        placeholders={credential: PLACEHOLDER},
    )
    proxy.apply(before)
    assert (away("a.test"), away("*")) == (False, True)
    proxy.apply(keyed(policy, "a.test", "b.test"))
    assert (away("a.test"), away("b.test")) == (False, False)
    proxy.apply(keyed(policy, "b.test"))
    assert (away("b.test"), away("*")) == (False, True)
