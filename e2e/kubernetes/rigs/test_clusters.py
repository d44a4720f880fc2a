"""The clusters that the other tests stand on do what a cluster does, and break where they are told to."""

import pykube
import pytest
import requests

from e2e.cluster import Cluster, ControlPlane
from e2e.support.waiting import until

pytestmark = pytest.mark.cluster


def config_map(name: str, namespace: str, **more: object) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace, **more}}


def allow(cluster: Cluster, namespace: str, account: str, *verbs: str) -> None:
    cluster.kubectl("create", "serviceaccount", account, "--namespace", namespace)
    cluster.kubectl("create", "role", account, "--namespace", namespace, "--resource=configmaps", *(f"--verb={verb}" for verb in verbs))
    cluster.kubectl(
        "create", "rolebinding", account, "--namespace", namespace, f"--role={account}", f"--serviceaccount={namespace}:{account}"
    )


def names(cluster: Cluster, namespace: str) -> set[str]:
    return {each.name for each in pykube.ConfigMap.objects(cluster.api).filter(namespace=namespace)}


def test_an_account_has_the_rights_that_rbac_gives_it_and_no_more(cluster, namespace):
    allow(cluster, namespace, "reader", "get", "list")
    api = cluster.api_as(cluster.kubeconfig_for("reader", namespace))
    assert list(pykube.ConfigMap.objects(api).filter(namespace=namespace))
    with pytest.raises(requests.HTTPError, match="403"):
        list(pykube.Secret.objects(api).filter(namespace=namespace))


def test_what_an_object_owned_is_collected_after_it(cluster, namespace):
    cluster.apply(config_map("owner", namespace))
    uid = cluster.get("configmap", "owner", "--namespace", namespace)["metadata"]["uid"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    cluster.apply(config_map("owned", namespace, ownerReferences=[reference]))
    cluster.kubectl("delete", "configmap", "owner", "--namespace", namespace)
    until(lambda: "owned" not in names(cluster, namespace))


def test_a_restart_keeps_the_objects_and_the_address(breakable: ControlPlane):
    breakable.apply(config_map("kept", "default"))
    for component in ("apiserver", "etcd", "controller-manager"):
        breakable.restart(component)
        assert "kept" in names(breakable, "default")


def test_the_audit_log_says_who_did_what(breakable: ControlPlane):
    allow(breakable, "default", "watched", "create")
    api = breakable.api_as(breakable.kubeconfig_for("watched"))
    pykube.ConfigMap(api, config_map("seen", "default")).create()
    with pytest.raises(pykube.exceptions.HTTPError, match="forbidden"):
        pykube.ConfigMap(api, config_map("seen", "default")).delete()
    until(lambda: len(calls_of(breakable, "watched")) == 2)
    made = [(call.verb, call.group, call.resource, call.namespace, call.name, call.code) for call in calls_of(breakable, "watched")]
    assert made == [("create", "", "configmaps", "default", "seen", 201), ("delete", "", "configmaps", "default", "seen", 403)]


def calls_of(cluster: ControlPlane, account: str):
    return [call for call in cluster.audit() if call.user == f"system:serviceaccount:default:{account}"]


def test_a_watch_from_before_a_compaction_and_restart_is_gone(breakable: ControlPlane):
    """410, which is how a client learns that it must list anew."""
    before = breakable.api.get(url="configmaps", namespace="default").json()["metadata"]["resourceVersion"]
    breakable.apply(config_map("later", "default"))
    breakable.apply(config_map("later-still", "default"))
    breakable.compact()
    breakable.restart("apiserver", grace=0)
    answer = breakable.api.get(
        url="configmaps", namespace="default", params={"watch": "1", "resourceVersion": before, "timeoutSeconds": "5"}
    )
    said = answer.json()
    assert said["type"] == "ERROR"
    assert (said["object"]["code"], said["object"]["reason"]) == (410, "Expired")


def test_the_second_page_of_a_list_from_before_a_compaction_is_gone(breakable: ControlPlane):
    for name in ("page-1", "page-2", "page-3"):
        breakable.apply(config_map(name, "default"))
    first = breakable.api.get(url="configmaps", namespace="default", params={"limit": "1"}).json()
    breakable.apply(config_map("page-4", "default"))
    breakable.compact()
    breakable.restart("apiserver", grace=0)
    parameters = {"limit": "1", "continue": first["metadata"]["continue"]}
    assert breakable.api.get(url="configmaps", namespace="default", params=parameters).status_code == 410
