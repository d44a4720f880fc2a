"""A webhook's URL is absolute, http or https, and leads nowhere that a machine keeps its own secrets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.go_templates import parse_go_template
from policy.variables import EVENT
from policy.webhook_urls import Url, forbidden_address, parse_url, template_problem


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://audit.test", "https://audit.test/"),
        ("HTTPS://Audit.Test:443/a?b=c", "https://audit.test/a?b=c"),
        ("http://receiver.audit.svc.cluster.local.:8080/x", "http://receiver.audit.svc.cluster.local:8080/x"),
        ("http://10.0.0.7:80?q=%20", "http://10.0.0.7/?q=%20"),
        ("https://[FD00::1]:8443/", "https://[fd00::1]:8443/"),
    ],
)
def test_an_absolute_url_is_read_in_one_spelling(text, said):
    assert str(parse_url(text)) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no absolute"),
        ("/path", "no absolute"),
        ("ftp://a.test/", "no absolute"),
        ("//a.test/", "no absolute"),
        ("https://" + "a" * 5000, "no absolute"),
        ("https://user:pw@a.test/", "user's name"),
        ("https://@a.test/", "user's name"),
        ("https:///x", "no host"),
        ("https://a.test\\@b.test/", "user's name"),
        ("https://a b/", "no host"),
        ("https://2130706433/", "no host"),
        ("https://0x7f.1/", "no host"),
        ("https://a.test:99999/", "no host"),
        ("https://a.test/a b", "escaped"),
        ("https://a.test/\r\nX-A: b", "escaped"),
        ("https://a.test/é", "escaped"),
        ("https://a.test/%zz", "escaped"),
        ("https://a.test/#f", "fragment"),
        ("http://169.254.169.254/latest/meta-data", "may have"),
        ("http://[::ffff:a9fe:a9fe]/", "may have"),
        ("http://[64:ff9b::a9fe:a9fe]/", "may have"),
        ("http://[fe80::1]/", "may have"),
        ("http://[fd00:ec2::254]/", "may have"),
        ("http://100.100.100.200/", "may have"),
        ("http://metadata.google.internal/", "may have"),
        ("http://0.0.0.0/", "may have"),
        ("http://224.0.0.1/", "may have"),
        ("http://255.255.255.255/", "may have"),
        ("http://127.0.0.1:9901/quitquitquit", "may have"),
        ("http://[::1]/", "may have"),
        ("http://localhost/", "may have"),
        ("http://a.localhost/", "may have"),
    ],
)
def test_what_is_wrong_with_a_url_is_said_without_quoting_it(text, said):
    assert said in parse_url(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [("/a b", "/a%20b"), ("/é\r\n", "/%C3%A9%0D%0A"), ("/%zz%41", "/%25zz%41"), ("/#f", "/%23f"), ("?a={}&b=[1]", "/?a=%7B%7D&b=[1]")],
)
def test_path_and_query_can_be_made_fit(text, said):
    assert parse_url("https://a.test" + text, escape=True).target == said


def test_loopback_is_its_operators_decision():
    for text in ("http://127.0.0.1:1/", "http://localhost:1/", "http://[::1]:1/", "http://[::ffff:7f00:1]:1/"):
        assert isinstance(parse_url(text, loopback=True), Url), text
        assert isinstance(parse_url(text), str), text
    assert forbidden_address("169.254.169.254", loopback=True)
    assert not forbidden_address("10.1.2.3")
    assert not forbidden_address("audit.test")


@given(st.text(alphabet="htps:/@.?#[]%a1\r\n \\é", max_size=20))
def test_any_text_is_a_url_without_controls_or_a_complaint(text):
    found = parse_url("http://" + text)
    if isinstance(found, Url):
        assert str(found).isascii()
        assert str(found).isprintable()
        assert " " not in str(found)
        assert parse_url(str(found)) == found


@pytest.mark.parametrize(
    "source",
    [
        "https://audit.test/{{ urlquery .Request.Path }}",
        "https://{{ .Inputs.hook.host }}/{{ .Request.Path }}",
        "https://{{ .Pod.Namespace }}.audit.test?{{ .Request.Path }}",
        "{{ .Inputs.hook.url }}/{{ .Request.Path }}",
        "{{ .Inputs.hook.url }}:8080/{{ .Request.Path }}",
        "{{ .Inputs.hook.url }}",
        "{{ if .Matched }}https://a.test{{ end }}",
    ],
)
def test_a_template_that_lets_the_profile_choose_the_host_is_fine(source):
    assert template_problem(parse_go_template(source, fields=EVENT)) is None


@pytest.mark.parametrize(
    "source",
    [
        "https://{{ .Request.Host }}/",
        "{{ index .Request.Headers `x-url` }}",
        "https://audit.test{{ .Request.Path }}",
        "https://{{ if .Matched }}{{ .Request.Host }}{{ end }}/",
        "https://{{ default .Request.Host .Inputs.hook.host }}/",
        "{{ .Inputs.hook.scheme }}://{{ .Request.Host }}/",
        "https://a.test:{{ .Request.Port }}/",
    ],
)
def test_the_sandbox_never_chooses_the_host(source):
    assert "would choose the host" in template_problem(parse_go_template(source, fields=EVENT))


def test_a_url_without_templates_is_judged_at_once():
    assert template_problem(parse_go_template("http://169.254.169.254/", fields=EVENT))
    assert template_problem(parse_go_template("http://127.0.0.1/", fields=EVENT), loopback=True) is None
