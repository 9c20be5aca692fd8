# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a container does not start or was ended: what Docker, Compose and NVIDIA's toolkit say, and what exit codes mean.

Texts of Docker 20 to 29 and of NVIDIA's toolkit 1.10 to 1.18, as people quote them; none was recorded on a GPU VM.
"""

from __future__ import annotations

from .cause import AGAIN, ANEW, CDI, ENDS, FOLLOWS, GENERAL, ONCE, PERSON, REBOOT, SERVICES, cause

START = (
    cause(
        "driver_too_old",
        (
            r"unsatisfied condition: (?:cuda|driver) ?>= ?[\d.]{1,20}",
            r"NVIDIA driver on your system is too old",
            r"Error 803: system has unsupported display driver",
            r"CUDA driver version is insufficient for CUDA runtime version",
            r"cudaErrorInsufficientDriver",
        ),
        "The GPU driver is too old for the engine's image.",
        "Install driver 580 or newer and reboot, or use an older version of the engine's image (vllm_image).",
        PERSON,
    ),
    cause(
        "driver_compatibility",
        (r"Error 804: forward compatibility was attempted", r"forward compatibility was attempted on non supported HW"),
        "The GPU driver is too old for the engine's image, and the compatibility libraries of the image do not run on this card.",
        "Install driver 580 or newer and reboot, or use an older version of the engine's image (vllm_image).",
        PERSON,
    ),
    cause(
        "card_not_for_image",
        r"unsatisfied condition: (?P<what>[^,\n]{1,120})",
        "The engine's image asks for what this card or its driver does not have ({what}).",
        "Use another version of the engine's image (vllm_image), or a newer driver.",
        PERSON,
        rank=GENERAL,
    ),
    cause(
        "driver_mismatch",
        (
            r"Failed to initialize NVML: Driver/library version mismatch",
            r"[Dd]river/library version mismatch",
            r"nvml error: .{0,40}version mismatch",
        ),
        "The driver's libraries do not match its loaded module.",
        "Reboot the VM: reboot loads the module that belongs to the libraries.",
        REBOOT,
    ),
    cause(
        "cuda_not_ready",
        (
            r"Error 802: system not yet initialized",
            r"cudaErrorSystemNotReady",
            r"CUDA error: system not yet initialized",
        ),
        "CUDA is not ready: the driver, or the fabric manager of cards with NVSwitch, has not started.",
        "Reboot the VM; where its cards have NVSwitch, nvidia-fabricmanager of the driver's version has to run.",
        REBOOT,
    ),
    cause(
        "driver_missing",
        (
            r"libnvidia-ml\.so(?:\.1)?[^\n]{0,80}(?:cannot open|not found|no such file)",
            r"nvidia-container-cli: initialization error: [^\n]{0,80}driver not loaded",
            r"nvml error: driver not loaded",
            r"couldn't communicate with the NVIDIA driver",
            r"Found no NVIDIA driver on your system",
            r"NVML Shared Library Not Found",
            r"Failed to initialize NVML: Driver Not Loaded",
            r"open failed: /proc/driver/nvidia",
        ),
        "The GPU driver is not there: its module is not loaded, or its libraries are not installed.",
        "Install the driver again: linode-coder up NAME --converge; reboot the VM when its module was built for another kernel.",
        ("reload_driver", "reboot", "alert"),
    ),
    cause(
        "toolkit_missing",
        (
            r'could not select device driver "[^"\n]{0,60}" with capabilities',
            r"unknown or invalid runtime name: (?P<runtime>[\w.-]{1,60})",
            r"Unknown runtime specified (?P<runtime>[\w.-]{1,60})",
            r"(?:exec: \\?\"?|stat |fork/exec )[^\s\"]{0,80}nvidia-(?:container-(?:runtime|cli|toolkit)|ctk|cdi-hook)[\w-]{0,20}[^\n]{0,20}"
            r"(?:not found|no such file)",
            r"nvidia-container-cli(?:\.real)?: (?:command )?not found",
            r"unknown flag: --gpus",
        ),
        (
            "Docker does not know the runtime {runtime}: NVIDIA's container toolkit is missing or not configured.",
            "Docker does not know how to pass GPUs to a container: NVIDIA's container toolkit is missing or not configured.",
        ),
        "Install and configure nvidia-container-toolkit (nvidia-ctk runtime configure --runtime=docker), then restart docker.service; "
        "linode-coder up NAME --converge does it.",
        SERVICES,
    ),
    cause(
        "cdi_unknown_device",
        (
            r"unresolvable CDI devices? (?P<device>[^\s:,\"]{1,200})",
            r"CDI device injection failed: [^\n]{0,200}",
            r"failed to inject CDI devices",
            r"error setting up CDI devices",
            r"CDI --device(?: list)? [^\n]{0,60}not supported",
            r"unqualified CDI device",
        ),
        (
            "The VM's CDI specification has no device {device}, so Docker cannot pass the GPUs to the container.",
            "The VM's CDI specification does not fit, so Docker cannot pass the GPUs to the container.",
        ),
        "Write it anew: systemctl restart nvidia-cdi-refresh, or nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml; then create "
        "the container anew. The driver has to be loaded before.",
        CDI,
    ),
    cause(
        "cdi_stale",
        (
            r"(?:error mounting|failed to fulfil mount request: open|error statfs|lstat|stat) \\?\"?(?P<path>/[^\s\"\\:]{0,160}"
            r"(?:libnvidia|libcuda|libEGL_nvidia|libGL\w{0,10}_nvidia|libnvcuvid|libnvoptix|nvidia-smi|nvidia-persistenced|/firmware/nvidia)"
            r"[^\s\"\\:]{0,80})",
            r"error gathering device information while adding custom device \\?\"?(?P<path>/dev/nvidia[\w/-]{0,40})",
            r"stat (?P<path>/dev/nvidia[\w/-]{0,40}): no such file",
            r"nvidia-container-cli: (?:device error|mount error): [^\n]{0,200}(?:unknown device|no such file|file creation failed)",
        ),
        (
            "The container wants {path} of the driver, which is not on the VM: the list of its files and devices is stale.",
            "The container wants files or devices of the driver that are not on the VM.",
        ),
        "Write the CDI specification anew (systemctl restart nvidia-cdi-refresh) and create the container anew; when the device stays "
        "away, reboot the VM.",
        ("regenerate_cdi", "reboot", "alert"),
    ),
    cause(
        "device_cgroup",
        (
            r"bpf_prog_(?:query|load|attach)\([^)\n]{0,60}\) failed",
            r"nvidia-container-cli: container error: [^\n]{0,60}cgroup",
            r"failed to (?:add device rules|get device cgroup)",
        ),
        "NVIDIA's container toolkit cannot open the GPUs to the container: it does not fit the VM's cgroups.",
        "Install a current nvidia-container-toolkit, or pass the GPUs by CDI; then create the container anew.",
        PERSON,
    ),
    cause(
        "toolkit_failed",
        r"nvidia-container-cli(?:\.real)?: (?P<said>[^\n]{1,200})",
        "NVIDIA's container toolkit could not prepare the container: {said}",
        "Look whether nvidia-smi works on the VM; reboot when it does not, else install driver and toolkit again: linode-coder up NAME "
        "--converge.",
        ("recreate_container", "reboot", "alert"),
        rank=GENERAL,
    ),
    cause(
        "container_lost_gpu",
        r"Failed to initialize NVML: Unknown Error",
        "The container's access to the GPUs was taken away while it ran.",
        "Create the container anew.",
        ANEW,
        check="ctr.gpu",
    ),
    cause(
        "container_sees_no_gpu",
        (
            r"Failed to infer device type, please set the environment variable",
            r"No CUDA GPUs are available",
            r"libcuda\.so\.1: cannot open shared object file",
            r"no CUDA-capable device is detected",
            r"cudaErrorNoDevice",
            r"NVML_ERROR_NOT_FOUND",
        ),
        "The container sees no GPU.",
        "Create the container anew with the GPUs passed to it.",
        ANEW,
        check="ctr.gpu",
    ),
    cause(
        "port_in_use",
        (
            r"[Aa]ddress already in use",
            r"port is already allocated",
            r"failed to bind host port",
            r"EADDRINUSE",
            r"[Pp]orts are not available",
        ),
        "Something else already listens on the engine's port.",
        "Look at what runs on the VM and listens there (ss -ltnp), or take the session down and up again.",
        PERSON,
    ),
    cause(
        "registry_limit",
        (
            r"toomanyrequests",
            r"pull rate limit",
            r"429 Too Many Requests[^\n]{0,60}Server message",
            r"/v2/[^\s\"]{1,200}\"?: [^\n]{0,60}429",
            r"/v2/[^\s]{1,200} [^\n]{0,20}429 Too Many Requests",
        ),
        "The registry refuses more pulls of images from this address for now.",
        "Wait and try again, or log in to the registry on the VM with: docker login.",
        ("recreate_container", "alert"),
        passes=True,
    ),
    cause(
        "image_not_found",
        (
            r"manifest unknown",
            r"manifest for (?P<image>[^\s]{1,200}) not found",
            r"pull access denied for (?P<image>[^\s,]{1,200})",
            r"repository (?P<image>[^\s]{1,200}) not found",
            r"repository does not exist",
            r"[Nn]o such image: (?P<image>[^\s]{1,200})",
            r"failed to resolve reference \\?\"(?P<image>[^\s\"\\]{1,200})\\?\": [^\n]{0,200}not found",
            r"(?:denied|unauthorized): (?:requested access|authentication required|incorrect username)[^\n]{0,120}",
            r"error from registry: (?:denied|unauthorized)",
            r"invalid reference format",
            r"unknown: (?:Tag|Artifact|Repository) [^\n]{0,120} not found",
        ),
        (
            "The registry has no image {image}, or does not show it to everybody.",
            "The registry does not have the image with that tag or digest, or does not show it to everybody.",
        ),
        "Check the image's name, tag and digest (vllm_image); for a private one log in on the VM with: docker login.",
        PERSON,
    ),
    cause(
        "image_of_another_machine",
        (
            r"exec format error",
            r"no matching manifest for [\w/.-]{1,60} in the manifest list",
            r"does not match the (?:detected host|specified) platform",
            r"image with reference [^\n]{0,200} was found but (?:does not match|does not provide) the specified platform",
        ),
        "The image was built for another kind of machine than this VM.",
        "Use an image for linux/amd64 (vllm_image).",
        PERSON,
    ),
    cause(
        "disk_full",
        (
            r"Not enough free disk space to download the file",
            r"\[Errno 28\] No space left on device(?![^\n]{0,300}/dev/shm)",
            r"no space left on device(?![^\n]{0,300}/dev/shm)",
            r"failed to register layer: [^\n]{0,300}no space left",
            r"No space left on device \(os error 28\)",
            r"[Dd]isk quota exceeded",
        ),
        "The disk is full: no space is left on the VM.",
        "Remove images and models that are not in use (docker system df shows them), or take a plan with a larger disk.",
        PERSON,
    ),
    cause(
        "image_damaged",
        (
            r"filesystem layer verification failed",
            r"failed (?:to verify|commit on ref) [^\n]{0,200}",
            r"unexpected commit digest",
            r"[Ii]nvalid tar header",
            r"failed to register layer: (?![^\n]{0,300}no space left)[^\n]{0,200}",
            r"error extracting (?:layer|tar)",
            r"layer does not exist",
            r"failed to extract layer (?![^\n]{0,300}no space left)",
            r"content digest [^\n]{0,100}: not found",
        ),
        "The image arrived damaged, or what Docker keeps of it is.",
        "Remove the image (docker image rm) and pull it again; the disk is unsound when it comes again.",
        ("recreate_container", "alert"),
    ),
    cause(
        "registry_unreachable",
        (
            r"Get \\?\"?https://[^\s\"]{1,200}/v2/[^\n]{0,200}"
            r"(?:timeout|refused|no such host|canceled|deadline exceeded|unreachable|reset by peer|EOF|misbehaving)",
            r"(?:dial tcp|lookup) [^\n]{0,120}(?:i/o timeout|no such host|connection refused|network is unreachable|misbehaving)",
            r"net/http: (?:TLS handshake timeout|request canceled)",
            r"failed to (?:copy|do request): [^\n]{0,200}(?:EOF|timeout|reset by peer|httpReadSeeker)",
            r"error pulling image configuration: download failed[^\n]{0,120}",
        ),
        "The registry did not answer, so the image could not be pulled.",
        "Try again: what was fetched stays. Look at the VM's network and name resolution when it comes again.",
        ("recreate_container", "alert"),
        passes=True,
    ),
    cause(
        "container_name_taken",
        r"The container name \\?\"?/?(?P<container>[\w.-]{1,100})\\?\"? is already in use",
        "Another container already has the name {container}.",
        "Remove it if nobody needs it (docker rm), then start the engine again.",
        ("recreate_container", "alert"),
    ),
    cause(
        "docker_down",
        (
            r"Cannot connect to the Docker daemon",
            r"Is the docker daemon running",
            r"error during connect: [^\n]{0,200}",
            r"dial unix /(?:var/)?run/docker\.sock: connect: (?:connection refused|no such file)",
            r"containerd\.sock: connect: (?:connection refused|no such file)",
        ),
        "Docker does not answer.",
        "Restart docker.service, and look at: journalctl -u docker.",
        SERVICES,
    ),
    cause(
        "docker_permission",
        r"permission denied while trying to connect to the [Dd]ocker (?:daemon socket|API)",
        "Docker does not let this user in: permission denied.",
        "Run it as root, or as a member of the group docker.",
        PERSON,
    ),
    cause(
        "command_missing",
        (
            r"exec: \\?\"?(?P<command>[^\s\"\\]{1,120})\\?\"?: (?:executable file not found|stat [^\n]{0,120}no such file)",
            r"unable to start container process: exec(?: |: ?)[^\n]{0,160}no such file or directory",
            r"starting container process caused[^\n]{0,80}exec[^\n]{0,120}not found",
        ),
        (
            "The image has no program {command}.",
            "The image does not have the program that it was told to run.",
        ),
        "Use the engine's own image (vllm/vllm-openai), and leave its command and entrypoint alone.",
        PERSON,
        exit_codes=(127,),
    ),
    cause(
        "command_not_runnable",
        (
            r"unable to start container process: exec[^\n]{0,160}permission denied",
            r"exec: \\?\"?[^\s\"]{1,120}\\?\"?: permission denied",
        ),
        "The image's program may not be run: permission denied.",
        "Use the engine's own image (vllm/vllm-openai), and leave its command and entrypoint alone.",
        PERSON,
        exit_codes=(126,),
    ),
    cause(
        "mount_failed",
        (
            r"Are you trying to mount a directory onto a file",
            r"invalid mount config for type",
            r"bind source path does not exist: (?P<path>[^\s]{1,200})",
            r"error mounting \\?\"(?P<path>/[^\s\"\\]{1,200})",
            r"error while creating mount source path \\?'?(?P<path>/[^\s'\\]{1,200})",
            r"invalid volume specification",
        ),
        (
            "The container cannot have {path} of the VM: it is missing, or a file where a directory should be.",
            "The container cannot have a file or directory of the VM that it needs.",
        ),
        "Write the VM's files again: linode-coder up NAME --converge.",
        PERSON,
    ),
    cause(
        "cgroup_refused",
        (
            r"unable to apply cgroup configuration",
            r"cgroups?: (?:cgroup mountpoint does not exist|cannot find cgroup mount)",
            r"(?:failed to write|write) [^\n]{0,160}/(?:memory|cpu|pids|cgroup)[\w.]{1,30}[^\n]{0,40}"
            r"(?:device or resource busy|invalid argument|no such file)",
            r"[Mm]inimum memory limit (?:allowed|can not be less)",
            r"container init was OOM-killed",
            r"error setting cgroup config",
            r"procReady not received",
        ),
        "Docker could not give the container its limits (cgroup), or they leave it too little memory.",
        "Take the limit of memory out of the container's settings; restart docker.service, and reboot the VM when it comes again.",
        ("restart_services", "reboot", "alert"),
    ),
    cause(
        "no_memory_to_start",
        (
            r"fork/exec [^\n]{0,120}cannot allocate memory",
            r"runtime: out of memory",
            r"fork: [^\n]{0,40}annot allocate memory",
        ),
        "The VM has no memory left to start a container.",
        "Look at what uses the memory (free -m, docker stats); reboot the VM, or take a plan with more memory.",
        ("reboot", "alert"),
    ),
    cause(
        "docker_network",
        (
            r"failed programming external connectivity[^\n]{0,300}",
            r"(?:[Uu]nable to enable|failed to (?:set up|create)) [^\n]{0,120}iptables[^\n]{0,120}",
            r"iptables(?: failed)?: [^\n]{0,200}No chain/target/match by that name",
            r"network [\w.-]{1,100} not found",
            r"could not find an available, non-overlapping IPv4 address pool",
            r"cannot assign requested address",
        ),
        "Docker could not connect the container to its network.",
        "Restart docker.service, which writes its firewall rules anew; then start the engine again.",
        SERVICES,
        rank=GENERAL,
    ),
    cause(
        "security_profile",
        (
            r"(?:unable to apply|failed to apply|apparmor failed to apply) (?:apparmor )?profile",
            r"seccomp: [^\n]{0,60}unable to",
        ),
        "The VM's security profile (AppArmor or seccomp) keeps Docker from starting containers.",
        "Install apparmor on the VM and restart docker.service.",
        SERVICES,
    ),
    cause(
        "disk_read_only",
        (r"[Rr]ead-only file system", r"\[Errno 30\]"),
        "A file system that the engine writes to is read-only.",
        "Look in the kernel's log for errors of the disk; reboot the VM, and replace it when it comes again.",
        REBOOT,
    ),
    cause(
        "compose_file",
        (
            r"validating [^\s]{1,200}: [^\n]{1,200}",
            r"yaml: (?:line \d{1,6}: |unmarshal errors)[^\n]{0,120}",
            r"env file [^\s]{1,200} not found",
            r"no configuration file provided: not found",
            r"has neither an image nor a build context",
            r"[Aa]dditional propert(?:y|ies) [^\n]{0,80}not allowed",
            r"service \\?\"[\w.-]{1,80}\\?\" (?:depends on|refers to) undefined [^\n]{0,80}",
            r"no such service: [\w.-]{1,80}",
        ),
        "The VM's Compose project is not complete or not valid: {line}",
        "Write the VM's files again: linode-coder up NAME --converge.",
        PERSON,
    ),
    cause(
        "compose_missing",
        (
            r"'compose' is not a docker command",
            r"unknown (?:shorthand )?(?:flag|command)[^\n]{0,60}compose",
            r"docker: unknown command",
        ),
        "Docker Compose is not installed on the VM.",
        "Install docker-compose-plugin: linode-coder up NAME --converge.",
        PERSON,
    ),
    cause(
        "docker_refused",
        (
            r"OCI runtime (?:create|exec|start) failed: (?P<said>[^\n]{1,300})",
            r"Error response from daemon: (?P<said>[^\n]{1,300})",
            r"failed to create (?:task for container|shim(?: task)?): (?P<said>[^\n]{1,300})",
            r"Cannot (?:start|create container for) service [\w.-]{1,60}: (?P<said>[^\n]{1,300})",
        ),
        "Docker does not start the container: {said}",
        "Look at it on the VM: docker inspect and journalctl -u docker; linode-coder up NAME --converge sets Docker up again.",
        ("recreate_container", "alert"),
        rank=GENERAL,
        exit_codes=(125,),
    ),
)

# What no text says but the state of a container that ended, or the kernel's log.
ENDINGS = (
    cause(
        "host_memory_killed",
        (),
        "The kernel killed the engine for want of memory (OOM killer): it is no crash of its own.",
        "Choose a plan with more memory, a smaller model, or no CPU offload; a restart lasts until the memory is used up again.",
        ONCE,
    ),
    cause(
        "killed",
        (),
        "The engine was killed from outside, and neither Docker nor the kernel's log says that it was for want of memory.",
        "Start it again. Whoever ran docker stop or docker kill did it, or the OOM killer, when the kernel's log begins too late.",
        AGAIN,
        exit_codes=(137,),
    ),
    cause(
        "stopped",
        (),
        "The engine was stopped (SIGTERM).",
        "Start it again: linode-coder up NAME.",
        AGAIN,
        exit_codes=(143, 130, 129),
    ),
    cause(
        "aborted",
        (),
        "The engine aborted itself (SIGABRT): a library found its state impossible, or waited too long for another GPU.",
        "Restart the container; when it comes again, set NCCL_P2P_DISABLE=1 in vllm_environment or use another version of the image.",
        AGAIN,
        exit_codes=(134,),
    ),
    cause(
        "arithmetic",
        (),
        "The engine crashed in its arithmetic (SIGFPE or SIGTRAP).",
        "Restart the container; when it comes again, use another version of the engine's image.",
        AGAIN,
        exit_codes=(133, 136),
    ),
)
CONSEQUENCES = (
    cause(
        "worker_died",
        (
            r"Worker proc (?P<worker>\S{1,100}) died unexpectedly \(exit code: (?P<code>-?\d{1,6})\)",
            r"Worker proc \S{1,100} died unexpectedly",
            r"Worker VllmWorkerProcess pid \d{1,9} died, exit code: (?P<code>-?\d{1,6})",
            r"Failed core proc\(s\): \{'\w{1,60}': (?P<code>-9)\b",
        ),
        ("A worker process of the engine died (exit code {code}).", "A worker process of the engine died."),
        "Restart the container; -9 usually means that the VM ran out of memory: the kernel's log says so.",
        AGAIN,
        rank=FOLLOWS,
    ),
    cause(
        "engine_died",
        (
            r"(?:Async|MQ)?EngineDeadError",
            r"EngineCore encountered a(?:n issue| fatal error)",
            r"engine core exited unexpectedly",
            r"Engine core proc(?:ess)? \S{1,60} died unexpectedly",
            r"Background loop has errored already",
        ),
        "The engine died while serving.",
        "Restart the container.",
        AGAIN,
        rank=ENDS,
    ),
    cause(
        "engine_start_failed",
        (
            r"Engine core initialization failed",
            r"Engine process failed to start",
            r"WorkerProc (?:initialization failed|failed to start)",
        ),
        "The engine failed to start.",
        "Read the engine's log: linode-coder logs NAME.",
        ONCE,
        rank=ENDS,
    ),
)
