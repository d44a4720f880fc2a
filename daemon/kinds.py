"""The resources that our processes read and write, as the API server serves them."""

from dataclasses import replace

from crds.security_profile import GlobalSecurityProfile, SecurityProfile
from kube.objects import Raw, Resource

PROFILES = Resource(group="agents.kruise.io", version="v1alpha1", plural="securityprofiles", kind="SecurityProfile")
GLOBAL_PROFILES = Resource(
    group="agents.kruise.io", version="v1alpha1", plural="globalsecurityprofiles", kind="GlobalSecurityProfile", namespaced=False
)
TEMPLATES = Resource(group="extensions.agents.x-k8s.io", version="v1beta1", plural="sandboxtemplates", kind="SandboxTemplate")
OLDER_TEMPLATES = (replace(TEMPLATES, version="v1alpha1"),)
"""Read where a cluster does not serve the newest; to us they mean the same."""
NETWORK_POLICIES = Resource(group="networking.k8s.io", version="v1", plural="networkpolicies", kind="NetworkPolicy")
SERVICE_CIDRS = Resource(group="networking.k8s.io", version="v1", plural="servicecidrs", kind="ServiceCIDR", namespaced=False)
SECRETS = Resource(version="v1", plural="secrets", kind="Secret")
CONFIG_MAPS = Resource(version="v1", plural="configmaps", kind="ConfigMap")
SERVICES = Resource(version="v1", plural="services", kind="Service")
PODS = Resource(version="v1", plural="pods", kind="Pod")
NODES = Resource(version="v1", plural="nodes", kind="Node", namespaced=False)
NAMESPACES = Resource(version="v1", plural="namespaces", kind="Namespace", namespaced=False)

ProfileModel = SecurityProfile | GlobalSecurityProfile


def templates_like(raw: Raw) -> Resource:
    """In the version in which this one was read."""
    return next((each for each in OLDER_TEMPLATES if each.api_version == raw.get("apiVersion")), TEMPLATES)
