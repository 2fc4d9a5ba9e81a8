"""Addresses that somebody means harm with, each refused before anything is looked up or connected to."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.runtime.errors import ConfigError, UsageError
from pagefault.runtime.functions.packs.http_rules import (
    Target,
    check_allowed,
    has_dots,
    read_redirect,
    read_rules,
    read_url,
)

RULES = read_rules(
    [
        "example.com",
        "*.example.org",
        "http://plain.example.com",
        "files.example.com:8443/public/",
        "b\u00fccher.example",
    ],
    "allow",
)
ANYWHERE = read_rules(["*", "*:8443", "http://*"], "allow")

NUMBERS = """2130706433 0x7f000001 0x7F000001 017700000001 0177.0.0.1 0177.1 127.1 127.0.1 0x7f.1 0x7f.0.0.1
0x7f.0x0.0x0.0x1 127.0.0.01 0127.0.0.1 127.0.0.0x1 127.0.0.1.1 1.127.0.0.1.1 127.0.0.256 256.256.256.256 1.2.3 1.2 1
0 00 0x 0x0 0xA9FEA9FE 2852039166 0251.0376.0251.0376 0xa9.0xfe.0xa9.0xfe 169.254.43518 169.16689662
00000251.00000376.00000251.00000376 425.510.425.510 4294967296 18446744073709551617 3232235521 0xc0a80001 192.168.1
192.11010049 10.1 0x0a000001 012.0.0.1 167772161 100.4194305 0x64400001 example.1 a.b.0x7f 127.0.0.1.0x 0x7f000001.
2130706433. 127.1. 0000000000000127.0.0.1"""
LITERALS = """127.0.0.1 127.0.0.1. 0.0.0.0 10.0.0.1 172.16.0.1 192.168.0.1 169.254.169.254 100.64.0.1 8.8.8.8
255.255.255.255 [::1] [::] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:a9fe:a9fe] [::127.0.0.1]
[fe80::1] [fc00::1] [fd00:ec2::254] [ff02::1] [2002:7f00:1::] [2001:0:7f00:1::] [64:ff9b::7f00:1]
[64:ff9b:1::a9fe:a9fe] [2606:4700::1] [0000:0000:0000:0000:0000:ffff:10.0.0.1]"""
BRACKETS = "[fe80::1%25eth0] [fe80::1%eth0] [::1 ::1] ::1 [] [127.0.0.1] [::1]x x[::1] [::1]:x [:::1] [::g] [1::2::3]"
LETTERS = (
    "\uff11\uff12\uff17.0.0.1", "\u2460\u2461\u2466.0.0.1", "127\u30020\u30020\u30021", "127\uff0e0\uff0e0\uff0e1",
    "\u0661\u0662\u0667.0.0.1", "0\uff58\uff17f000001", "\u2080x7f000001", "\U0001d7cf\U0001d7d0\U0001d7d5.0.0.1",
    "\uff12\uff11\uff13\uff10\uff17\uff10\uff16\uff14\uff13\uff13", "\u246f\u2468.254.\u246f\u2468.254", "\u3002",
    "example\u200b.com", "exam\u00adple.com", "example.com\u202e", "example\ufeff.com", "\u2028example.com",
    "example.com\u2044@evil.example", "exa\u0000mple.com", "example.com\uff0fevil", "example.com\uff03.evil",
    "a\u0300\u0301.\u0300x", "-\u00fc.example", "\u00fc" * 70 + ".example", "\ud800.example",
)  # fmt: skip
USERS = """example.com@127.0.0.1 example.com:443@127.0.0.1 user:pass@example.com @example.com :@example.com
127.0.0.1%23@example.com example.com%40127.0.0.1 example.com%2f127.0.0.1 example.com%00.evil.example
example.com%0d%0a %65xample.com 127%2e0%2e0%2e1 example.com%23 example.com\\@127.0.0.1 example.com\\.evil.example
127.0.0.1\\.example.com example.com;evil.example example.com,evil.example example.com&evil.example example.com$
example.com' example.com" (example.com) example.com! *.example.com example..com .example.com example.com..
-example.com example-.com ~example.com"""
SCHEMES = """file:///etc/passwd ftp://example.com/ gopher://example.com:70/_x dict://example.com:11211/
ldap://example.com/ data:text/html,x javascript:alert(1) jar:https://example.com!/ netdoc:///etc/passwd
ws://example.com/ wss://example.com/ sftp://example.com/ tftp://example.com/ smb://example.com/
blob:https://example.com/ view-source:https://example.com/ unix:///run/docker.sock http+unix://%2Frun%2Fdocker.sock/
feed:https://example.com/ //example.com/ example.com https:example.com https:/example.com https:///example.com
https:////example.com https://?example.com https://#example.com https:\\\\example.com https://\\example.com
\\\\example.com\\share ://example.com/ https https:// https//example.com http://example.com/ HTTP://example.com/
http://example.com:443/ https://plain.example.com/"""
PORTS = """example.com:22 example.com:0 example.com:80 example.com:8443 example.com:65536 example.com:99999
example.com:4430 example.com:443443 example.com: example.com:-1 example.com:+443 example.com:443x example.com:0x1bb
example.com::443 example.com:443:443 files.example.com files.example.com:443 files.example.com:08444
example.com:\uff14\uff14\uff13"""
STRANGERS = """evil.example example.com.evil.example evilexample.com notexample.com example.com-evil.example
example.comevil sub.example.com example.org evilexample.org example.org.evil.example localhost localhost.localdomain
metadata metadata.google.internal kubernetes.default.svc xn--example-.com xn--bcher-kva.evil 127.0.0.1.nip.io com
org example www.example.com b\u00fccher.example.org.evil.example instance-data"""
PATHS = r"""/private /public/../private /public/%2e%2e/private /public/%2E%2E/private /public/.%2e/x
/public/%252e%252e/x /public/%25252e%25252e/x /public/..%2fprivate /public/..%5cprivate /public/..;/private
/public/..;a=b/private /publicity /Public/x /%70ublicity /public%2f..%2fprivate /public/%c0%ae%c0%ae/x
/public/%C0%AE./x /public/%e0%80%ae./x /public/./../x /public\..\private /public/\..\x //public/x /./public/x /
/;/public/x /%2e/public/x /public%00/../x /public/%2525252525252e./x"""
BREAKS = (
    "https://example.com/\r\nHost: evil", "https://example.com/\nx", "https://example.com/\tx",
    "https://example.com/ x",    " https://example.com/", "https://example.com/ ", "\x00https://example.com/", "https://example.com/\x7f",
    "https://example.com/\u00a0", "https://example.com/\u2028", "https:\n//example.com/", "ht\ttps://example.com/",
    "https://exam\nple.com/", "https://example.com\r/", "https://example.com/\x1b[2J",
    "https://example.com/" + "x" * 4000,
    "", "https://" + "a." * 200 + "example.com/", f"https://{'a' * 64}.example.com/", "https://example.com/\u202ex",
)  # fmt: skip
GROUPS = {
    "numbers": [f"https://{each}/" for each in NUMBERS.split()],
    "addresses": [f"https://{each}/" for each in LITERALS.split()],
    "addresses and a port": [f"https://{each}:8443/" for each in LITERALS.split()],
    "brackets": [f"https://{each}/" for each in BRACKETS.split(" ")],
    "letters": [f"https://{each}/" for each in LETTERS],
    "users": [f"https://{each}/" for each in USERS.split()],
    "schemes": SCHEMES.split(),
    "ports": [f"https://{each}/" for each in PORTS.split()],
    "strangers": [f"https://{each}/" for each in STRANGERS.split()],
    "paths": [f"https://files.example.com:8443{each}" for each in PATHS.split()],
    "breaks": list(BREAKS),
}
BAD_ANYWHERE = ("numbers", "addresses", "brackets", "letters", "users", "breaks")
"""These are refused even where any name is allowed."""


def admitted(urls: list[str], rules: object) -> list[str]:
    found = []
    for url in urls:
        try:
            check_allowed(read_url(url), rules)  # type: ignore[arg-type]  # of read_rules
        except UsageError as error:
            if not re.match(r"url: found .*, allowed: ", str(error)):
                found.append(f"{url}: {error}")
        else:
            found.append(url)
    return found


@pytest.mark.parametrize("group", GROUPS)
def test_hostile_addresses_are_refused(group: str) -> None:
    assert admitted(GROUPS[group], RULES) == []
    if group in BAD_ANYWHERE:
        assert admitted(GROUPS[group], ANYWHERE) == []


def test_there_are_enough_of_them() -> None:
    every = {url for urls in GROUPS.values() for url in urls}
    assert len(every) >= 300
    assert sum(len(urls) for urls in GROUPS.values()) == len(every), "each is there once"


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://EXAMPLE.com:443/A?b=%20c#d", "https://example.com/A?b=%20c"),
        ("https://example.com./x", "https://example.com/x"),
        ("https://example.com?x=1", "https://example.com/?x=1"),
        ("https://example.com/a b".replace(" ", "%20"), "https://example.com/a%20b"),
        ("https://example.com/\u00fc?\u00e4=1", "https://example.com/%C3%BC?%C3%A4=1"),
        ("https://example.com/..a/b../.c/...", "https://example.com/..a/b../.c/..."),
        ("https://a.example.org/", "https://a.example.org/"),
        ("https://a.b.example.org:0443/", "https://a.b.example.org/"),
        ("http://plain.example.com/x", "http://plain.example.com/x"),
        ("https://files.example.com:8443/public", "https://files.example.com:8443/public"),
        ("https://files.example.com:8443/public/a%2Fb?x=../y", "https://files.example.com:8443/public/a%2Fb?x=../y"),
        ("https://B\u00dccher.example/", "https://xn--bcher-kva.example/"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://\uff45xample.com/", "https://example.com/"),
    ],
)
def test_what_is_allowed_is_read_in_one_spelling(url: str, read: str) -> None:
    target = read_url(url)
    check_allowed(target, RULES)
    assert target.url == read
    assert read_url(read) == target


def test_addresses_are_allowed_only_by_themselves() -> None:
    rules = read_rules(["8.8.8.8", "http://[::1]:8080", "*"], "allow")
    for url in ("https://8.8.8.8/", "http://[0::0:1]:8080/"):
        check_allowed(read_url(url), rules)
    for url in ("https://8.8.4.4/", "https://[::1]/", "http://[::2]:8080/"):
        with pytest.raises(UsageError, match="allowed: only"):
            check_allowed(read_url(url), rules)


def test_redirects_are_read_as_strictly() -> None:
    base = Target("https", "example.com", 443, "/a/b", "c")
    assert read_redirect(base, "../d?e#f").url == "https://example.com/d?e"
    assert read_redirect(base, "//other.example.com").url == "https://other.example.com/"
    for location in ("http://2130706433/", "https://a@b/", "file:///x", "/\x00", "http://[/", "%2e%2e/x", "\\\\evil"):
        with pytest.raises(UsageError, match="url: found"):
            read_redirect(base, location)


@pytest.mark.parametrize(
    "entry",
    ["", 7, "ftp://example.com", "https://", "*.", "*.1.2.3.4", "a*.example.com", "**.example.com", "*.*.example.com",
     "example.com:0", "example.com:*", "user@example.com", "example.com?x", "example.com#x", "example.com/../x",
     "127.1", "*example.com", "*:x", "[::1", "exam ple.com"],
)  # fmt: skip
def test_an_entry_that_cannot_be_meant_is_an_error_with_its_place(entry: object) -> None:
    with pytest.raises(ConfigError, match=r"^http\.allow\[1\]: found"):
        read_rules(["example.com", entry], "http.allow")  # type: ignore[list-item]  # what a file may say
    with pytest.raises(ConfigError, match="a list of hosts"):
        read_rules("example.com", "http.allow")


@given(st.text(max_size=60) | st.text(alphabet="htps:/@.[]%#?\\127x0ae\u3002", max_size=60).map("https://{}".format))
def test_whatever_is_read_is_read_again_as_the_same(text: str) -> None:
    try:
        target = read_url(text)
    except UsageError:
        return
    assert target.url.isascii()
    assert read_url(target.url) == target
    assert not has_dots(target.path)
