"""The two policies that attempts are made against, as files of a policy directory.

`DENY` allows what it names and ends in a block of everything. `OPEN` has no last rule and blocks a few things.
"""

KEY = """
  - name: key
    match: [{{domains: [{hosts}], paths: [{{type: Prefix, value: /v1}}]}}]
    actions:
      tokenTransformation:
        credentialRef: {{secret: {{name: key}}}}
        apiKey: {{valueTemplate: "Bearer {{{{ .Token }}}}"}}
"""
HEAD = """
apiVersion: agents.kruise.io/v1alpha1
kind: SecurityProfile
metadata: {name: policy}
spec:
  selector: {}
  rules:
"""
SPOILT = "untrusted.ok.test, expired.ok.test, misnamed.ok.test"

DENY = (
    HEAD
    + KEY.format(hosts=f"api.ok.test, {SPOILT}")
    + f"""
  - name: wild
    match: [{{domains: ["*.wild.ok.test"]}}]
    actions: {{headerManipulation: {{set: [{{name: x-rule, value: wild}}]}}}}
  - name: allowed
    match:
    - {{domains: [api.ok.test], ports: [80, 443]}}
    - {{domains: [pass.ok.test, "*.wild.ok.test", {SPOILT}]}}
    actions: {{bypass: true}}
  - name: rest
    match: [{{domains: ["*"]}}]
    actions: {{block: {{}}}}
"""
)

OPEN = (
    HEAD
    + """
  - name: evil
    match: [{domains: [evil.test]}]
    actions: {block: {}}
  - name: admin
    match: [{domains: [api.ok.test, plain.ok.test], paths: [{type: Prefix, value: /admin}]}]
    actions: {block: {}}
  - name: role
    match: [{domains: [api.ok.test], headers: [{name: x-role, type: Exact, value: admin}]}]
    actions: {block: {}}
  - name: delete
    match: [{domains: [api.ok.test], methods: [DELETE]}]
    actions: {block: {}}
  - name: in-the-clear
    match: [{domains: [pass.ok.test], schemes: [http], paths: [{type: Prefix, value: /admin}]}]
    actions: {block: {}}
  - name: slow-header
    match: [{domains: [api.ok.test], headers: [{name: x-slow, type: Regex, value: "^(a+)+$"}]}]
    actions: {block: {}}
  - name: slow-path
    match: [{domains: [api.ok.test], paths: [{type: Regex, value: "^/(a|aa)+b$"}]}]
    actions: {block: {}}
  - name: literal
    match: [{domains: [api.ok.test], paths: [{type: Prefix, value: /literal}]}]
    actions:
      headerManipulation:
        set:
        - {name: x-request, value: "%REQ(authorization)%"}
        - {name: x-environment, value: "%ENVIRONMENT(HOME)%"}
        - {name: x-percent, value: "100%"}
        - {name: x-percents, value: "%%"}
        - {name: x-template, value: "{{ .Token }} ${HOME}"}
  - name: tools
    match: [{domains: [mcp.ok.test], paths: [{type: Exact, value: /mcp}]}]
    actions:
      mcpToolPolicy:
        defaultAction: allow
        rules: [{method: tools/call, toolNames: [delete_repo], action: deny}]
"""
    + KEY.format(hosts="api.ok.test")
)


def secret(value: str) -> str:
    return f"""
apiVersion: v1
kind: Secret
metadata: {{name: key}}
stringData: {{apiKey: "{value}"}}
"""


def files(policy: str, credential: str) -> dict[str, str]:
    return {"policy.yaml": policy, "secret.yaml": secret(credential)}
