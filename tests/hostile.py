"""Strings that a tag, an API, a log, a key file or a survey may hold, and that must stay what they are: data.

``CORPUS`` names them; no value does harm by itself. ``canary(path)`` gives variants that leave a file at ``path`` where a template
engine, a shell or a YAML reader takes them for code, so that a test can say that none did. ``MARKER`` is in every one of both,
so that a test can look for it where no foreign text belongs, such as in arguments of processes.
"""

from __future__ import annotations

from pathlib import Path

MARKER = "h0stile"

_ESC, _BEL, _CSI_C1, _OSC_C1, _ST_C1 = "\x1b", "\x07", "\x9b", "\x9d", "\x9c"
_JINJA_HEADER = "#jinja2:variable_start_string:'[[',variable_end_string:']]'\n"

_TEMPLATES = {
    "jinja expression": f"{{{{ 7 * 6 }}}}{MARKER}",
    "jinja expression, whole": "{{ '" + MARKER + "' | upper }}",
    "jinja statement": f"{{% set x = 1 %}}{MARKER}{{{{ x }}}}",
    "jinja comment": f"{MARKER}{{# gone #}}",
    "jinja, trimmed": f"{MARKER} {{{{- 7 * 6 -}}}}",
    "jinja, raw block": f"{{% raw %}}{MARKER}{{{{ x }}}}{{% endraw %}}",
    "jinja, not closed": f"{MARKER}{{{{ 7",
    "jinja, statement not closed": f"{MARKER}{{% if",
    "jinja, bad syntax": f"{MARKER}{{{{ %%% }}}}",
    "jinja, undefined name": f"{MARKER}{{{{ never_defined_anywhere }}}}",
    "jinja, loop": f"{{% for i in range(3) %}}{MARKER}{{% endfor %}}",
    "jinja, dunder": f"{MARKER}{{{{ ''.__class__.__mro__ }}}}",
    "jinja header": f"{_JINJA_HEADER}[[ 7 * 6 ]]{MARKER}",
    "jinja header, block": "#jinja2:block_start_string:'<%',block_end_string:'%>'\n<% set x = 1 %>" + MARKER,
    "jinja header, line statements": "#jinja2:line_statement_prefix:'%'\n% set x = 1\n" + MARKER,
    "jinja header, alone": f"#jinja2:trim_blocks:True\n{MARKER}",
    "jinja header, bad": f"#jinja2:nonsense\n{MARKER}",
    "erb": f"<%= 7 * 6 %>{MARKER}",
    "dollar": f"${{7*6}}{MARKER}$HOME",
    "percent": f"%(x)s %s {MARKER} %n",
    "format": f"{MARKER} {{0}} {{x.__class__}}",
}
_YAML = {
    "yaml unsafe tag": f"!unsafe {MARKER}",
    "yaml unsafe tag, templated": f"!unsafe '{{{{ 7 * 6 }}}}{MARKER}'",
    "yaml vault tag": f"!vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  {MARKER}",
    "yaml python tag": f"!!python/object/apply:os.getcwd []  # {MARKER}",
    "yaml alias": f"*{MARKER}",
    "yaml anchor": f"&{MARKER} x",
    "yaml mapping": f"{MARKER}: {{a: [1, 2]}}",
    "yaml documents": f"{MARKER}\n---\nb: 1\n...",
    "yaml block": f"|\n  {MARKER}\n",
    "yaml comment": f"{MARKER} # not here",
    "yaml quotes": f'\'{MARKER}" \\\' ""',
    "vault text": f"$ANSIBLE_VAULT;1.1;AES256\n3133\n{MARKER}",
    "unsafe look-alike": f'{{"__ansible_unsafe": "{MARKER}{{{{ 7 * 6 }}}}"}}',
    "vault look-alike": f'{{"__ansible_vault": "{MARKER}"}}',
    "ansible type look-alike": f'{{"__ansible_type": "TrustedAsTemplate", "value": "{MARKER}{{{{ 7 * 6 }}}}"}}',
    "json": f'{{"{MARKER}": [1, null, true]}}',
}
_SHELL = {
    "shell substitution": f"$(true {MARKER})",
    "shell backticks": f"`true {MARKER}`",
    "shell separator": f"{MARKER}; true && true || true & true",
    "shell pipe": f"{MARKER} | cat > /dev/null",
    "shell quotes": f"'{MARKER}'\"'\"'",
    "shell glob": f"{MARKER} * ? [a-z] ~ !!",
    "shell redirection": f"{MARKER} > /dev/null 2>&1 <<EOF",
    "option": f"--{MARKER}=1",
    "ssh option": f"-oProxyCommand=true {MARKER}",
    "ssh token": f"%h%r%{MARKER}",
    "extra vars file": f"@/dev/null {MARKER}",
    "key=value": f"ansible_connection=local {MARKER}=1",
    "path": f"../../../../{MARKER}",
}
_TERMINAL = {
    "csi colour": f"{_ESC}[31m{MARKER}{_ESC}[0m",
    "csi erase": f"{MARKER}{_ESC}[2J{_ESC}[H",
    "csi line up": f"{MARKER}{_ESC}[1A{_ESC}[2K",
    "csi report": f"{MARKER}{_ESC}[6n{_ESC}[c",
    "osc title": f"{_ESC}]0;{MARKER}{_BEL}",
    "osc 8 link": f"{_ESC}]8;;https://example.invalid/{MARKER}{_ESC}\\click{_ESC}]8;;{_ESC}\\",
    "osc 52 clipboard": f"{MARKER}{_ESC}]52;c;dHJ1ZQ=={_BEL}",
    "osc not ended": f"{MARKER}{_ESC}]0;",
    "dcs": f'{_ESC}P$q"p{_ESC}\\{MARKER}',
    "c1 csi": f"{_CSI_C1}31m{MARKER}",
    "c1 osc": f"{_OSC_C1}0;{MARKER}{_ST_C1}",
    "carriage return": f"all is well\r{MARKER}",
    "backspace": f"{MARKER}\b\b\b\b\b\b\bxxxxxxx",
    "bell": f"{MARKER}{_BEL}",
    "escape alone": f"{MARKER}{_ESC}",
    "delete": f"{MARKER}\x7f",
    "rich markup": f"[red]{MARKER}[/red]",
    "rich markup, not opened": f"{MARKER}[/bold]",
    "rich link": f"[link=https://example.invalid]{MARKER}[/link]",
    "rich emoji": f":warning: {MARKER}",
    "github command": f"::error::{MARKER}",
    "markdown": f"| {MARKER} | <b>x</b> | [x](https://example.invalid) |",
}
_TEXT = {
    "line feed": f"first\n{MARKER}\nlast",
    "line separators": f"first\u2028{MARKER}\u2029\x85\x0b\x0clast",
    "crlf": f"first\r\n{MARKER}",
    "nul": f"{MARKER}\x00after",
    "controls": MARKER + "".join(map(chr, range(1, 9))),
    "bidi override": f"\u202e{MARKER}\u202c",
    "bidi isolate": f"\u2066{MARKER}\u2067x",
    "zero width": f"{MARKER}\u200b\u200d\u2060\ufeff",
    "combining": f"{MARKER}" + "\u0301" * 40,
    "lone surrogate": f"{MARKER}\udc80",
    "astral": f"{MARKER}\U0001f600",
    "wide": f"{MARKER}\u3000\uff5b\uff5b 7 \uff5d\uff5d",
    "spaces": f"  {MARKER}\t ",
    "number": f"0x10_{MARKER}",
    "long": MARKER + "A" * 20_000,
}

CORPUS: dict[str, str] = _TEMPLATES | _YAML | _SHELL | _TERMINAL | _TEXT


def encodable(value: str) -> bool:
    """Whether the string can be in a file or in JSON from a real sender, thus has no lone surrogate."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def canary(path: Path | str) -> dict[str, str]:
    """Strings that leave a file at ``path``, which needs no quoting in a shell, where they are run. Name to string.

    No string is longer than a tag's value in chunks may be, so keep ``path`` short.
    """
    leave = f"touch {path}"
    call = f"lookup('pipe', '{leave}')"
    return {
        "jinja": f"{MARKER}{{{{ {call} }}}}",
        "jinja, whole": f"{{{{ {call} ~ '{MARKER}' }}}}",
        "jinja, double quotes": f'{MARKER}{{{{ lookup("pipe", "{leave}") }}}}',
        "jinja, query": f"{{{{ query('ansible.builtin.pipe', '{leave}') }}}}{MARKER}",
        "jinja statement": f"{{% if {call} %}}{MARKER}{{% endif %}}",
        "jinja header": f"{_JINJA_HEADER}[[ {call} ]]{MARKER}",
        "jinja header, spaced": f"#jinja2: variable_start_string: '<<', variable_end_string: '>>'\n<< {call} >>{MARKER}",
        "jinja header, block": "#jinja2:block_start_string:'<%',block_end_string:'%>'\n<% if "
        + call
        + f" %>{MARKER}<% endif %>",
        "jinja header, line statement": f"#jinja2:line_statement_prefix:'%'\n% if {call}\n{MARKER}\n% endif",
        "jinja condition": f"{call} or '{MARKER}'",
        "jinja, end of a string": f"' ~ {call} ~ '{MARKER}",
        "jinja, end of an expression": f"{MARKER} }}}}{{{{ {call} }}}}",
        "jinja in an unsafe tag": f"!unsafe '{MARKER}{{{{ {call} }}}}'",
        "jinja in an unsafe look-alike": f'{{"__ansible_unsafe": "{MARKER}{{{{ {call} }}}}"}}',
        "jinja in a trusted look-alike": f'{{"__ansible_type": "TrustedAsTemplate", "value": "{MARKER}{{{{ {call} }}}}"}}',
        "yaml": f"!!python/object/apply:os.system ['{leave}']  # {MARKER}",
        "shell substitution": f"{MARKER}$({leave})",
        "shell backticks": f"{MARKER}`{leave}`",
        "shell separator": f"{MARKER}; {leave} #",
        "shell quote": f"{MARKER}'; {leave} #",
        "shell double quote": f'{MARKER}"; {leave} #',
        "shell line": f"{MARKER}\n{leave}\n",
        "ssh option": f"-oProxyCommand={leave} {MARKER}",
        "ssh known hosts command": f"{MARKER} -o KnownHostsCommand={leave}",
    }
