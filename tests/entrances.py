# SPDX-License-Identifier: GPL-3.0-or-later
"""Every place where text comes in that somebody else may have written, and the test that shows it to be data.

tests/unit/tools/test_entrances.py compares this with the code: a function that reads and is not here, or a test that is gone, fails.
A new one is tried with the strings of tests/hostile.py.
"""

from __future__ import annotations

from dataclasses import dataclass

_CLI, _C = "linode_coder/", "collections/ansible_collections/linode_coder/gpu/plugins/"
_VM_TEXT = "tests/unit/health/test_hostile_text.py::test_any_text_can_be_read"
_END_TO_END = "tests/slow/test_nothing_outside_is_code.py::"
_EXTRA_VARS = "tests/unit/actions/test_extra_vars.py::test_no_text_is_run"
_API = "tests/unit/modules/test_inventory_is_data.py::test_no_text_of_the_account_is_rendered"
_CONFIG = "tests/unit/cli/test_config.py::"
_GATEWAY = "tests/unit/gateway/"


@dataclass(frozen=True)
class Entrance:
    """Functions of one file that read the same kind of text: what it is and who may write it, and what tests it.

    No tests: ``text`` then says why it is nobody else's.
    """

    file: str
    functions: tuple[str, ...]
    text: str
    tests: tuple[str, ...] = ()


OURS = "our own: "
_STATE = OURS + "a file of this machine's state, which only its user can write"
_VM_STATE = OURS + "a file that our modules keep on the VM, read there"

ENTRANCES = (
    # -- the account, the hub, the network
    Entrance(
        _C + "module_utils/linode/reader.py",
        ("LinodeReader._get_once",),
        "answers of the Linode API, tags and labels among them",
        (_API, _END_TO_END + "test_a_tag", "tests/unit/health/test_hostile_text.py::test_any_tag_can_be_read"),
    ),
    Entrance(
        _C + "module_utils/linode/client.py",
        ("LinodeApi._write",),
        "answers of the Linode API to writes",
        ("tests/unit/linode/test_linode_errors.py::test_any_body_can_be_read",),
    ),
    Entrance(
        _C + "module_utils/model/hub.py",
        ("_get",),
        "answers of the model hub, which anybody's repository fills",
        (
            "tests/unit/model/test_hub.py::test_timeouts_nonsense_and_no_network_stop_nobody",
            "tests/unit/model/test_repository_kind.py::test_no_configuration_brings_it_down",
        ),
    ),
    Entrance(_C + "module_utils/model/hub.py", ("_recall",), _STATE),
    Entrance(
        "roles/dead_man/files/dead_man.py",
        ("ask",),
        "answers of the Linode API, read on the VM",
        ("tests/unit/roles/test_dead_man.py",),
    ),
    Entrance("roles/dead_man/files/dead_man.py", ("main",), OURS + "the settings and the token that the role writes"),
    Entrance(
        _C + "modules/watchdog_notice.py",
        ("post", "show"),
        OURS + "only whether the webhook and notify-send took it is asked",
    ),
    Entrance(
        _CLI + "reports/plots.py",
        ("_inline",),
        "a picture that matplotlib drew, with names of sessions in it",
        (
            "tests/unit/reports/test_reports.py::test_any_text_can_stand_in_a_picture",
            "tests/unit/reports/test_reports.py::test_hostile_names_are_text_and_nothing_asks_anybody",
        ),
    ),
    # -- the engine, through the tunnel or on the VM
    Entrance(
        _C + "module_utils/engine/client.py",
        ("Answer.json", "EngineClient._line", "EngineClient._send"),
        "answers of the engine, its list of models and its metrics among them",
        (
            "tests/unit/engine/test_engine_client.py::test_what_is_no_list_of_models_is_none",
            "tests/unit/engine/test_endpoint_check.py::test_each_way_to_go_wrong",
            "tests/unit/cli/test_clients.py::test_a_name_is_no_word_of_a_shell",
            _VM_TEXT,
        ),
    ),
    Entrance(
        _CLI + "cli/validate_perf.py",
        ("document_of",),
        "what a VM has measured until it was interrupted",
        (
            "tests/unit/perf/test_progress.py::test_of_any_text_only_figures_are_taken",
            "tests/unit/perf/test_received.py::test_whatever_it_is",
        ),
    ),
    Entrance(
        _C + "module_utils/perf/surroundings.py",
        ("round_trip",),
        "answers of the engine, of which only the time counts",
        ("tests/unit/perf/test_surroundings.py::test_an_answer_without_an_end_is_no_way",),
    ),
    Entrance(
        _C + "module_utils/engine/endpoint_check.py",
        ("_calls",),
        "arguments that a model made up",
        ("tests/unit/engine/test_endpoint_check.py::test_each_way_to_go_wrong",),
    ),
    # -- what a VM says of itself
    Entrance(
        _C + "module_utils/health/vm_look.py",
        (
            *(
                "collect",
                "descendants",
                "disk",
                "generate",
                "memory",
                "pci_gpus",
            ),
            "read_text",
        ),
        "everything that a look collects: nvidia-smi, the kernel's log, the engine's log and answers, docker inspect",
        (_VM_TEXT, _END_TO_END + "test_a_log_that_healing_reads"),
    ),
    Entrance(
        _C + "modules/host_files.py",
        ("Wanted._key",),
        _VM_STATE + "; a key is letters, digits, - and _",
        ("tests/unit/modules/test_host_files.py",),
    ),
    Entrance(
        _C + "modules/team_people.py",
        ("read",),
        _VM_STATE + "; a line is a hash and a name, and nothing else of it counts",
        ("tests/unit/modules/test_team_modules.py::test_no_hostile_text_is_a_name_or_changes_the_map",),
    ),
    Entrance(
        _C + "modules/session_keys.py",
        ("read",),
        "the keys that a VM knows, whose comments whoever is root there has written",
        ("tests/unit/modules/test_session_keys.py::test_no_hostile_comment_is_more_than_a_comment",),
    ),
    Entrance(
        _CLI + "cli/keys.py",
        ("add",),
        "a colleague's public key",
        ("tests/unit/modules/test_session_keys.py::test_no_hostile_comment_is_more_than_a_comment",),
    ),
    Entrance(
        _C + "module_utils/session/team_usage.py",
        ("_entry",),
        "the log of a team's gateway, which everybody who reaches it fills",
        ("tests/unit/modules/test_team_modules.py::test_no_hostile_text_is_an_entry",),
    ),
    Entrance(
        _C + "module_utils/health/collected.py", ("_json",), "docker inspect and the engine's answers", (_VM_TEXT,)
    ),
    Entrance(_C + "module_utils/health/kernel_log.py", ("_entry",), "the kernel's log", (_VM_TEXT,)),
    Entrance(_C + "module_utils/health/nvidia_smi.py", ("read_nvidia_smi",), "nvidia-smi's XML", (_VM_TEXT,)),
    Entrance(_C + "module_utils/engine/downloads.py", ("events_of",), "the log of the download", (_VM_TEXT,)),
    Entrance(
        _C + "module_utils/health/bundle.py",
        ("_from_archive",),
        "a bundle, which anybody may have made",
        ("tests/unit/health/test_bundle.py::test_unsafe_members_are_refused", _VM_TEXT),
    ),
    Entrance(
        _C + "module_utils/heal/attempts.py",
        ("parse",),
        "the VM's record of healing",
        ("tests/unit/heal/test_heal_attempts.py::test_any_text_is_read_or_refused",),
    ),
    Entrance(
        _CLI + "endpoint/tunnel.py",
        ("bounded",),
        "the VM's record of healing and other files of it, over SSH and cut to a length",
        ("tests/unit/heal/test_heal_attempts.py::test_any_text_is_read_or_refused",),
    ),
    Entrance(
        _CLI + "endpoint/activity.py",
        ("run_on_vm", "idle_record"),
        "the idle clock on the VM and its nvidia-smi, over SSH",
        ("tests/unit/cli/test_on_vm.py::test_no_text_of_the_vm_brings_it_down",),
    ),
    Entrance(
        _CLI + "endpoint/up_to_date.py", ("_on_vm",), OURS + "what the VM says is only compared with what it said"
    ),
    Entrance(
        _C + "module_utils/engine/api_key.py",
        ("kept_key",),
        "the API key on the VM, over SSH: written to a file, and to no command",
        (_END_TO_END + "test_a_tag",),
    ),
    Entrance(
        _CLI + "endpoint/engine_files.py",
        ("engine_of",),
        "the engine's flags and record on the VM, over SSH",
        (
            "tests/unit/export/test_engine_files.py::test_any_text_of_a_vm_is_data",
            "tests/unit/export/test_stack_values.py::test_any_text_is_data",
        ),
    ),
    Entrance(
        _CLI + "export/files.py",
        ("differing", "write"),
        OURS + "only whether a file that is there says the same is asked",
    ),
    Entrance(_CLI + "export/served.py", ("_of_the_role",), OURS + "the packaged role's variables"),
    Entrance(_CLI + "terminal/streams.py", ("relay",), "a log of the VM, shown", ("tests/unit/cli/test_streams.py",)),
    Entrance(_CLI + "cli/ssh.py", ("ssh",), OURS + "the terminal is the VM's: its user asked for a shell there"),
    Entrance(
        _C + "module_utils/core/program.py",
        ("run", "_read", "_stat"),
        "output of programs of the VM, cut to a length",
        (_VM_TEXT,),
    ),
    Entrance(
        _C + "modules/host_state.py",
        ("compose", "driver", "main", "toolkit", "units"),
        "output of programs of the VM",
        ("tests/unit/modules/test_host_state.py::test_a_vm_without_anything",),
    ),
    Entrance(
        _C + "module_utils/engine/held_image.py",
        ("look",),
        "docker image inspect",
        ("tests/unit/modules/test_host_state.py::test_an_image_is_only_there_with_the_digest_that_is_held",),
    ),
    Entrance(
        _C + "module_utils/core/docker_compose.py",
        ("compose_ps",),
        "docker compose ps",
        ("tests/unit/core/test_docker_compose.py::test_each_service_has_its_container",),
    ),
    Entrance(
        _C + "module_utils/core/vm_module.py",
        ("inspect",),
        "docker inspect",
        (
            "tests/unit/modules/test_compose_project.py::test_one_that_restarts_by_itself_is_made_anew_when_a_file_changed_since_it_was_made",
        ),
    ),
    Entrance(
        _C + "module_utils/core/vm_module.py", ("start_in_background", "start_ticks"), OURS + "numbers of the kernel's"
    ),
    Entrance(
        _C + "module_utils/engine/compose_project.py",
        ("ComposeProject.compose",),
        "output of docker compose",
        (
            "tests/unit/modules/test_compose_project.py::test_one_that_restarts_by_itself_is_made_anew_when_a_file_changed_since_it_was_made",
        ),
    ),
    Entrance(
        _C + "module_utils/engine/pull_record.py",
        ("text_of",),
        "output of docker pull",
        ("tests/unit/modules/test_container_image.py::test_one_that_cannot_be_had_fails_and_says_which",),
    ),
    Entrance(_C + "module_utils/core/job_record.py", ("JobRecord.load",), _VM_STATE),
    Entrance(
        _C + "modules/job_progress.py",
        ("over",),
        "the result of a job on the VM, of which only whether it has ended is read",
        ("tests/unit/modules/test_job_progress.py::test_only_an_end_is_one",),
    ),
    Entrance(
        _C + "module_utils/core/told.py",
        ("newer",),
        "what our modules on this machine say, the API's reasons in it",
        ("tests/unit/core/test_told.py::test_any_text_comes_as_it_was_said",),
    ),
    Entrance(
        _C + "modules/model_weights.py",
        ("Download.start",),
        "output of docker compose, the download's log among it",
        (_VM_TEXT,),
    ),
    Entrance(
        _C + "modules/model_weights.py",
        ("Download.count", "asked_before"),
        _VM_STATE + "; what is written to it is one line for each variable",
        ("tests/unit/engine/test_env_file.py::test_a_value_is_one_line_or_refused",),
    ),
    Entrance(
        _C + "modules/vllm_spec.py",
        ("read",),
        "the engine's settings, which people may edit on the VM",
        ("tests/unit/engine/test_engine_config.py",),
    ),
    Entrance(
        _C + "modules/host_files.py",
        ("Wanted._read",),
        "a file of the VM: compared, and shown in a diff",
        ("tests/unit/modules/test_host_files.py::test_only_what_differs_is_written_and_shown",),
    ),
    Entrance(
        _C + "module_utils/engine/held_image.py",
        ("_loaded",),
        "docker image inspect",
        ("tests/unit/modules/test_host_state.py::test_an_image_from_an_archive_counts_with_its_digest_and_id",),
    ),
    Entrance(
        _C + "module_utils/engine/warm_store.py",
        ("_as_listed", "load", "make_list"),
        "what a VM of an earlier session left on a volume: names, links and a list",
        (
            "tests/unit/engine/test_warm_store.py::test_any_list_can_be_read",
            "tests/unit/engine/test_warm_store.py::test_what_nobody_listed_is_removed_and_is_no_damage",
        ),
    ),
    Entrance(
        _C + "modules/warm_store.py",
        ("Store.keep_in_fstab", "Store.load_image"),
        "the VM's fstab, whose other lines stay, and docker image inspect",
        (
            "tests/unit/modules/test_warm_store_module.py::test_a_new_one_is_formatted_and_mounted_once_and_at_every_boot",
            "tests/unit/modules/test_warm_store_module.py::test_what_was_recorded_is_read_and_loaded",
        ),
    ),
    Entrance(
        _C + "modules/ssh_host_key.py",
        ("activate", "derived", "prepare", "public_of"),
        "the VM's host keys",
        ("tests/unit/session/test_host_key.py",),
    ),
    Entrance(_C + "modules/session_activity.py", ("shown", "tell"), OURS + "our notice, and whether wall could be run"),
    Entrance(
        _C + "module_utils/heal/machine.py",
        ("Machine.read_config", "Machine.read_record", "Machine.swap_lock"),
        "files of the VM, which people may edit there",
        ("tests/unit/heal/test_heal_attempts.py::test_any_text_is_read_or_refused",),
    ),
    Entrance(
        _C + "module_utils/heal/machine.py",
        ("Machine.run",),
        "output of programs that healing runs on the VM",
        (_VM_TEXT,),
    ),
    Entrance(
        _C + "module_utils/heal/machine.py", ("Machine.boot_id", "process_start"), OURS + "numbers of the kernel's"
    ),
    Entrance(_C + "module_utils/heal/guest.py", ("Healer.still_mine", "Healer.take_lock"), _VM_STATE),
    Entrance(_C + "modules/gpu_heal.py", ("kept",), _VM_STATE),
    Entrance(_C + "module_utils/watch/activity_look.py", ("kept", "sample_of"), _VM_STATE),
    Entrance(_C + "module_utils/engine/state.py", ("load",), _VM_STATE),
    Entrance(_C + "module_utils/model/kept_weights.py", ("complete",), _VM_STATE),
    Entrance(_C + "module_utils/health/last_look.py", ("recall",), _VM_STATE),
    Entrance(_C + "module_utils/engine/api_key.py", ("key_in",), _VM_STATE),
    Entrance(
        "roles/vllm/files/fetch_weights.py",
        ("Check.digest", "library"),
        "files of a repository, whose digests are compared",
        ("tests/unit/modules/test_fetch_weights.py",),
    ),
    Entrance(
        _C + "modules/ssh_ready.py",
        ("attempt",),
        "what ssh says of a VM",
        (_END_TO_END + "test_a_tag",),
    ),
    Entrance(
        _CLI + "endpoint/tunnel_keeper.py",
        ("Keeper.start",),
        "what ssh says of a VM; its address is one",
        (
            "tests/unit/cli/test_tunnel_keeper.py",
            "tests/unit/session/test_session_view.py::test_an_address_is_one_or_there_is_none",
        ),
    ),
    Entrance(_CLI + "endpoint/tunnel.py", ("start_keeper",), OURS + "whether the keeper began"),
    Entrance(_CLI + "endpoint/ssh_failure.py", ("_says",), OURS + "whether what ssh says is of a kind that we know"),
    Entrance(
        _C + "plugin_utils/look_action.py",
        ("Limit._watch",),
        OURS + "when the process of a look that takes too long has ended",
    ),
    Entrance(_CLI + "endpoint/port_owner.py", ("listens",), OURS + "the kernel's table of sockets"),
    Entrance(_CLI + "endpoint/tunnel.py", ("_control",), OURS + "only ssh's exit code is asked"),
    # -- what a user is given: keys, configuration, a project's .env
    Entrance(
        _CLI + "settings/config.py",
        ("public_keys",),
        "public keys of other people, with comments",
        (_EXTRA_VARS, _END_TO_END + "test_the_comment_of_a_key"),
    ),
    Entrance(
        _CLI + "settings/files.py",
        ("_text", "read_toml", "linode_cli_token"),
        ".env of the project in this directory, config.toml, linode-cli's configuration",
        (
            _CONFIG + "test_a_bad_dotenv_is_named_with_its_line",
            _CONFIG + "test_no_dotenv_breaks_the_reader",
            _EXTRA_VARS,
        ),
    ),
    Entrance(
        _C + "module_utils/model/catalogue.py",
        ("_table_in",),
        "models.toml, the user's",
        ("tests/unit/model/test_model_catalogue.py::test_mistakes_in_the_users_file_name_file_and_key",),
    ),
    Entrance(
        _C + "module_utils/model/hub_token.py",
        ("hub_token_source",),
        "the hub's token, as its tools wrote it",
        (_CONFIG + "test_the_hugging_face_token_is_found",),
    ),
    Entrance(
        _C + "lookup/this_user.py",
        ("LookupModule.run",),
        "the name of the user of a controller who started the job",
        ("tests/unit/actions/test_plain_variables.py::test_the_owner_in_a_job_is_who_started_it",),
    ),
    Entrance(_C + "modules/client_key.py", ("work",), OURS + "this machine's key, which ssh-keygen made"),
    Entrance(_C + "modules/linode_gpu_instance.py", ("new_host_key",), OURS + "a key that ssh-keygen just made"),
    Entrance(_C + "modules/session_secret.py", ("_keep",), _STATE),
    Entrance(_CLI + "settings/edit.py", ("changed_text",), OURS + "the configuration that is rewritten"),
    Entrance(_CLI + "terminal/question.py", ("typed_line",), OURS + "what the user types"),
    Entrance(
        _CLI + "watchdog/timer.py",
        ("_crontab", "_read_environment", "systemctl", "unit_is", "write_units"),
        "the user's crontab and environment, written into a timer",
        ("tests/unit/cli/test_watchers.py::test_timers_quote_what_their_readers_would_misread",),
    ),
    Entrance(_CLI + "cli/explain_topics.py", ("_page",), OURS + "the pages that are installed with us"),
    # -- the gateway: whatever a program of this machine sends, and what our own commands say of VMs
    Entrance(
        _CLI + "gateway/relay.py",
        ("read",),
        "bodies of requests, and of refusals of an engine",
        (
            _GATEWAY + "test_gateway.py::test_what_is_no_question_for_an_engine",
            _GATEWAY + "test_gateway.py::test_only_a_client_of_this_machine_with_the_key",
            _GATEWAY + "test_gateway.py::test_no_text_of_a_request_is_more_than_text",
        ),
    ),
    Entrance(
        _CLI + "gateway/command.py",
        ("Command.run", "_event", "_lines"),
        "events of `up` and `use`: what the API, VMs and programs said",
        (
            _GATEWAY + "test_gateway_parts.py::test_no_text_of_up_is_more_than_text",
            _GATEWAY + "test_gateway_parts.py::test_any_event_can_be_taken",
        ),
    ),
    Entrance(
        _CLI + "gateway/known.py",
        ("_names",),
        "names by which an engine serves its model, as it said",
        (
            _GATEWAY + "test_gateway_parts.py::test_no_name_of_a_model_is_more_than_a_name",
            _GATEWAY + "test_gateway_parts.py::test_a_file_that_is_not_as_we_write_it_is_none",
        ),
    ),
    Entrance(_CLI + "gateway/key.py", ("gateway_key",), _STATE),
    Entrance(_CLI + "gateway/wakes.py", ("today",), _STATE),
    # -- what we keep here
    Entrance(
        _CLI + "local/wake.py",
        ("read",),
        "options of `up`, on their way into the words of a command",
        (
            _GATEWAY + "test_gateway_parts.py::test_a_file_that_is_not_as_we_write_it_is_none",
            _GATEWAY + "test_gateway_parts.py::test_what_up_is_told",
        ),
    ),
    Entrance(_CLI + "local/history.py", ("_File.__init__",), _STATE),
    Entrance(
        _C + "module_utils/record/postgres.py",
        ("Server.__init__",),
        "what a PostgreSQL server says, and what others of a team wrote into its database",
        (
            "tests/foreign/test_postgres.py::test_why_it_cannot_be_used_is_one_sentence_without_a_secret",
            "tests/unit/cli/test_history_command.py::test_no_text_is_obeyed",
        ),
    ),
    Entrance(
        _CLI + "local/perf_history.py",
        ("_unpacked", "runs"),
        "documents of performance runs: names of an account, and what an engine and nvidia-smi on a VM said",
        ("tests/unit/cli/test_perf_history.py::test_no_text_of_a_run_is_obeyed",),
    ),
    Entrance(
        _CLI + "completion/names.py",
        ("_on_a_server", "_regions", "_recorded"),
        "names of sessions, runs and regions, as an account had them, on their way into the line of a shell",
        ("tests/unit/cli/test_completion.py::test_no_hostile_name_is_offered", "tests/integration/test_shells.py"),
    ),
    Entrance(_CLI + "api.py", ("_remember_regions",), OURS + "only whether the file has to be written again is asked"),
    Entrance(
        _CLI + "pricing/last_answer.py",
        ("_remembered",),
        "what an API said of plans and prices, as this machine remembers it",
        ("tests/unit/cli/test_config_hardware.py::test_a_file_that_is_no_answer_is_none",),
    ),
    Entrance(_CLI + "cli/completion.py", ("completion",), OURS + "a file of the package"),
    Entrance(_CLI + "cli/metrics.py", ("_packaged",), OURS + "a file of the package"),
    Entrance(_CLI + "local/sessions.py", ("current",), _STATE),
    Entrance(
        _CLI + "local/lock.py",
        ("_read", "worker"),
        "who holds a lock: this machine's state, which another version of us may have written",
        ("tests/unit/cli/test_lock.py::test_a_file_that_is_not_ours_is_never_shown_as_it_is",),
    ),
    Entrance(_CLI + "endpoint/tunnel_files.py", ("_read", "keeper"), _STATE),
    Entrance(_CLI + "endpoint/group_files.py", ("drained", "read_members"), _STATE),
    Entrance(
        _CLI + "endpoint/group_keeper.py",
        ("GroupKeeper.run_router",),
        OURS + "nothing of what the router prints is read",
    ),
    Entrance(_CLI + "endpoint/router_child.py", ("main",), OURS + "the key that its keeper hands to it"),
    Entrance(
        _CLI + "cli/up_group.py",
        ("_run_all", "_read"),
        "what our own command says of a session: texts of the API and of its VM among it, which the console escapes",
        ("tests/unit/cli/test_up_group.py::test_what_a_member_says_is_text",),
    ),
    Entrance(_CLI + "watchdog/watchers.py", ("_read",), _STATE),
    Entrance(_CLI + "endpoint/up_to_date.py", ("_content", "unchanged"), _STATE),
    Entrance(_C + "module_utils/model/measured_fits.py", ("_read",), _STATE),
    Entrance(_C + "module_utils/engine/check_tokens.py", ("OwnTokens.of",), _STATE),
    Entrance(_C + "modules/watchdog_notice.py", ("remembered",), _STATE),
    # -- Ansible
    Entrance(
        _C + "plugin_utils/local_action.py",
        ("LocalAction._work", "plain"),
        "arguments and results of modules",
        ("tests/unit/actions/test_local_action.py::test_what_comes_back_of_a_trusted_template_is_not_trusted",),
    ),
    Entrance(
        _CLI + "playbook/runner.py",
        ("Run.execute",),
        "events of ansible-playbook: what modules, VMs and programs said",
        (_EXTRA_VARS, _END_TO_END + "test_a_log_that_healing_reads"),
    ),
)
