# SPDX-License-Identifier: GPL-3.0-or-later
"""Every value says where it is from, every problem names its file and line, and no token goes where it does not belong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal import ladder as heal_ladder
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub_token import hub_token
from hypothesis import given
from hypothesis import strategies as st

from linode_coder.cli import app
from linode_coder.settings import config
from linode_coder.settings import files as config_files

SECRET = "planted-secret-of-the-configuration"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home and project directory, and an environment without anything of ours."""
    for name in list(os.environ):
        if name.startswith(("LINODE", "HF_", "HUGGING_FACE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home" / "config").mkdir(parents=True)
    (tmp_path / ".config").mkdir()
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    config.export_credentials.cache_clear()
    config._said.clear()
    return tmp_path


def toml(place: Path, text: str, mode: int = 0o600) -> Path:
    path = place / "home" / "config" / "config.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def dotenv(place: Path, text: str, mode: int = 0o600) -> None:
    path = place / "project" / ".env"
    path.write_text(text)
    path.chmod(mode)


def cli_token(place: Path, host: str = "") -> None:
    extra = f"api_host = {host}\n" if host else ""
    (place / ".config" / "linode-cli").write_text(
        f"[DEFAULT]\ndefault-user = ada\n\n[eve]\ntoken = wrong\n\n[ada]\nregion = us-ord\ntoken = {SECRET}\n{extra}"
    )


def test_each_layer_wins_over_the_one_below(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = toml(place, 'model = "a/file"\nlease = "2h"\nidle = "20m"\nregion = ["us-ord"]\n')
    dotenv(place, "# ours\nLINODE_CODER_LEASE=3h\nexport LINODE_CODER_IDLE='30m' # later\n")
    monkeypatch.setenv("LINODE_CODER_IDLE", "40m")
    reading = config.read(region=["us-sea,fr-par"], max_cost=None)
    found = {key: (reading.values[key], reading.origins.get(key, "default")) for key in reading.values}
    assert reading.problems == []
    assert found["model"] == ("a/file", f"{path}:1")
    assert found["lease"] == ("3h", ".env:2")
    assert found["idle"] == ("40m", "environment LINODE_CODER_IDLE")
    assert found["region"] == (("us-sea", "fr-par"), "option --region")
    assert found["cap"] == ("24h", "default")
    assert reading.config().max_cost is None


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("LINODE_CODER_LEASE=2h\nnonsense here\n", 2, "NAME=value"),
        ('LINODE_CODER_MODEL="a/b\n', 1, "quotes of LINODE_CODER_MODEL"),
        ("\nLINODE_CODER_LEESE=2h\n", 2, "LINODE_CODER_LEESE"),
        ("LINODE_CODER_LEASE=soon\n", 1, "'soon' is not a duration"),
        ("LINODE_CODER_HOME=/tmp\n", 1, "not read from .env"),
    ],
)
def test_a_bad_dotenv_is_named_with_its_line(place: Path, text: str, line: int, said: str) -> None:
    dotenv(place, text)
    problem = config.read().errors[0]
    assert problem.where == f".env:{line}"
    assert said in problem.message
    with pytest.raises(Failure) as caught:
        config.load()
    assert (caught.value.kind, caught.value.exit_code) == ("config", 2)
    assert f".env:{line}" in caught.value.message


@pytest.mark.parametrize(
    ("text", "line", "said", "remedy"),
    [
        ('model = "a/b"\nleese = "2h"\n', 2, "'leese'", "lease"),
        ('\n\nlease = "2h\n', 3, "not TOML", "name = value"),
        ("max_cost = true\n", 1, "max_cost: True is not a number of dollars", ""),
        ('lease = "30h"\n', 1, "longer than the hard cap of 1 d (cap from default)", "cap"),
        ("context = 0\n", 1, "context: 0 is not", ""),
        ('idle = "5m"\n', 1, "at least 10 minutes", ""),
        ("idle = 0\n", 1, "idle: 0 is not", ""),
        ('idle = "0"\n', 1, "at least 10 minutes, or 'off'", ""),
        ("lease = 0\n", 1, "lease: 0 is not", ""),
        ('lease = "off"\n', 1, "lease: 'off' is not", ""),
        ('[plan]\nname = "x"\n', 1, "a list of names", ""),
        ("budget = 5\nmax_cost = 6\n", 2, "more than the monthly budget", ""),
        ('hf_token = "x"\nhf_token_file = "y"\n', 2, "both set", "Keep one"),
        ('linode_token_file = "nowhere"\n', 1, "holds no token", ""),
    ],
)
def test_a_bad_toml_is_named_with_its_line(place: Path, text: str, line: int, said: str, remedy: str) -> None:
    path = toml(place, text)
    problem = config.read().errors[0]
    assert problem.where == f"{path}:{line}"
    assert said in problem.message
    assert remedy in problem.remedy


@pytest.mark.parametrize(
    ("text", "idle"), [("", "45m"), ('idle = "off"\n', "off"), ("idle = false\n", "off"), ('idle = "50m"\n', "50m")]
)
def test_idle_off_is_not_unset(place: Path, text: str, idle: str, monkeypatch: pytest.MonkeyPatch) -> None:
    toml(place, text)
    assert config.read().config().idle == idle
    monkeypatch.setenv("LINODE_CODER_IDLE", "off")
    assert config.read().config().idle == "off"
    monkeypatch.setenv("LINODE_CODER_IDLE", "0")
    assert config.read().errors[0].where == "environment LINODE_CODER_IDLE"


def test_a_secret_in_a_loose_file_is_warned_about_and_never_shown(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = toml(place, f'linode_token = "{SECRET}"\nhf_token = 17\n', mode=0o644)
    monkeypatch.setenv("LINODE_API_URL", "http://127.0.0.1:9")  # it is asked for prices; nobody listens there
    monkeypatch.setenv("LINODE_TOKEN", "")  # so that it is restored afterwards
    monkeypatch.setenv("LINODE_CODER_RETRY_SCALE", "0")
    reading = config.read()
    warning = next(problem for problem in reading.problems if problem.severity == "warning")
    assert "0644" in warning.message and warning.remedy == f"Run: chmod 600 {path}"
    assert app.run(["config", "show", "--json"]) == 0
    assert app.run(["config", "show"]) == 0
    assert app.run(["config", "validate"]) == 2
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    row = next(row for row in json.loads(out.splitlines()[0])["values"] if row["key"] == "linode_token")
    assert (row["value"], row["source"]) == ("********", f"{path}:1")


def test_validate_says_everything_in_json(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = toml(place, 'leese = "2h"\ncontext = "many"\n')
    assert app.run(["config", "validate", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["valid"] is False
    assert [problem["where"] for problem in document["problems"]] == [f"{path}:1", f"{path}:2"]
    toml(place, 'lease = "2h"\n')
    assert app.run(["config", "validate"]) == 0


def test_linode_clis_token_is_found(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli_token(place)
    reading = config.read()
    assert reading.values["linode_token"] == SECRET
    assert reading.origins["linode_token"] == f"{place}/.config/linode-cli:9"
    monkeypatch.setenv("LINODE_TOKEN", "from-the-environment")
    assert config.read().values["linode_token"] == "from-the-environment"


@pytest.mark.parametrize("how", ["address", "other host"])
def test_linode_clis_token_is_for_the_real_api_only(place: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    cli_token(place, host="elsewhere.example" if how == "other host" else "")
    if how == "address":
        monkeypatch.setenv("LINODE_API_URL", "http://elsewhere.example/")
    assert config.read().values["linode_token"] is None


def test_a_project_cannot_send_the_users_token_elsewhere(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINODE_TOKEN", SECRET)
    dotenv(place, "LINODE_API_URL=http://elsewhere.example/\n")
    with pytest.raises(Failure) as caught:
        config.export_credentials()
    assert ".env:1" in caught.value.message and SECRET not in str(caught.value.as_dict())
    assert "LINODE_API_URL" not in os.environ


def test_other_mistakes_do_not_keep_anybody_from_the_account(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LINODE_TOKEN", SECRET)
    dotenv(place, "nonsense\n")
    config.export_credentials()
    assert ".env:1" in capsys.readouterr().err


HUB_TOKEN_PLACES = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "cache", "XDG_CACHE_HOME", "HF_HOME", "HF_TOKEN_PATH"]


@pytest.mark.parametrize("where", [*HUB_TOKEN_PLACES, "reference"])
def test_the_hugging_face_token_is_found(place: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    file = place / "somewhere" / "token"
    if where == "cache":
        file = place / ".cache" / "huggingface" / "token"
    elif where == "XDG_CACHE_HOME":
        file = place / "xdg" / "huggingface" / "token"
        monkeypatch.setenv("XDG_CACHE_HOME", str(place / "xdg"))
    file.parent.mkdir(parents=True)
    file.write_text(SECRET + "\n")
    if where in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        file.write_text("of-an-older-login\n")
        monkeypatch.setenv("HF_TOKEN_PATH", str(file))
        monkeypatch.setenv(where, SECRET + "\r\n")
    elif where == "HF_HOME":
        monkeypatch.setenv("HF_HOME", str(file.parent))
    elif where == "HF_TOKEN_PATH":
        monkeypatch.setenv("HF_TOKEN_PATH", "~/" + str(file.relative_to(place)))
    elif where == "reference":
        toml(place, f'hf_token_file = "{file}"\n')
    assert config.read().values["hf_token"] == SECRET
    # The playbooks' way to it.
    assert where == "reference" or hub_token() == SECRET


def test_what_files_say_of_the_token_reaches_every_client(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINODE_TOKEN", "")  # so that it is restored afterwards
    dotenv(place, f"LINODE_TOKEN={SECRET}\nOTHER_PROGRAMS=1\n")
    config.export_credentials()
    assert os.environ["LINODE_TOKEN"] == SECRET


def test_no_secret_is_an_option() -> None:
    commands: Any = app.LazyGroup(name="linode-coder")
    secret = {setting.key for setting in config.SETTINGS if setting.secret}
    for name in app.COMMANDS:
        command = commands.get_command(None, name)
        for one in [command, *getattr(command, "commands", {}).values()]:
            assert not secret & {parameter.name for parameter in one.params}, (name, one.name)


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters='"\\'), max_size=30))
def test_quoted_values_survive(value: str) -> None:
    assert config_files._unquoted(f'"{value}" # note') == value


@given(st.text(max_size=60))
def test_no_dotenv_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "dotenv"
    path.write_text(
        text, encoding="utf-8", errors="surrogatepass" if any("\ud800" <= c <= "\udfff" for c in text) else "strict"
    )
    config_files.read_dotenv(path)


def test_healing_knows_the_policies() -> None:
    assert config.HEAL_POLICIES == heal_ladder.CAPS


def test_a_table_of_its_own(place: Path) -> None:
    toml(place, 'lease = "4h"\n[gateway]\nhours = "08:00-20:00"\nwakes = 2\nsessions = ["demo"]\n')
    found = config.load()
    assert (found.lease, found.gateway_hours, found.gateway_wakes) == ("4h", "08:00-20:00", 2)
    assert (found.gateway_sessions, found.gateway_port, found.gateway_lease) == (("demo",), 17000, None)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("gateway = 3\n", "gateway"),
        ('[gateway]\nhours = "8-20"\n', "gateway_hours"),
        ("[gateway]\nwakes = -1\n", "gateway_wakes"),
        ("[gateway]\nwakes = true\n", "gateway_wakes"),
        ("[gateway]\nport = 65536\n", "gateway_port"),
        ('[gateway]\nlease = "0h"\n', "gateway_lease"),
        ('[gateway]\nsessions = ["A b"]\n', "gateway_sessions"),
        ("[gateway]\nhour = 1\n", "gateway_hour"),
    ],
)
def test_what_is_wrong_in_a_table_is_named(place: Path, text: str, key: str) -> None:
    toml(place, text)
    with pytest.raises(Failure) as caught:
        config.load()
    assert (caught.value.kind, caught.value.field) == ("config", key)
    assert f"config.toml:{len(text.splitlines())}" in f"{caught.value.message} {caught.value.cause}"


def test_the_page_lists_every_setting() -> None:
    page = Path(__file__).parents[3] / "collections/ansible_collections/linode_coder/gpu/docs/configuration.md"
    for setting in config.SETTINGS:
        default = "" if setting.default in (None, ()) else f"`{setting.default}`"
        assert f"| `{setting.key}` | `{setting.env}` | {default} | {setting.meaning} |" in page.read_text()


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4 watcher"


def test_public_keys_are_given_as_they_are_or_by_file(place: Path) -> None:
    (place / "key.pub").write_text(KEY + "\n")
    toml(place, f'authorized_keys = ["{place}/key.pub", "{KEY}"]\n')
    assert config.load().authorized_keys == (KEY, KEY)


@pytest.mark.parametrize("content", ["-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "", None])
def test_what_is_no_public_key_is_refused(place: Path, content: str | None) -> None:
    if content is not None:
        (place / "key").write_text(content)
    toml(place, f'authorized_keys = ["{place}/key"]\n')
    with pytest.raises(Failure) as caught:
        config.load()
    assert (caught.value.kind, caught.value.field) == ("config", "authorized_keys")
    assert "PRIVATE" not in caught.value.message
