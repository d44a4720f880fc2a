"""Status: conditions are told apart by type."""

from crds.conditions import ConditionReason, ConditionType, ProfileStatus

ACCEPTED = {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}


def test_a_condition_is_found_by_its_type() -> None:
    status = ProfileStatus.model_validate({"conditions": [ACCEPTED]})
    found = status.condition(ConditionType.ACCEPTED)
    assert found is not None
    assert found.status == "True"
    assert status.condition(ConditionType.PROGRAMMED) is None


def test_reasons_are_stable() -> None:
    """Alerts are written on them: a change here is a change of the interface."""
    assert {str(reason) for reason in ConditionReason} == {
        "Accepted",
        "Invalid",
        "OrderSensitive",
        "ResolvedRefs",
        "SecretNotFound",
        "SecretKeyNotFound",
        "ConfigMapNotFound",
        "RefNotGranted",
        "HostNotAllowed",
        "NamespaceNotOptedIn",
        "Distributed",
        "NotAccepted",
        "Pending",
    }
