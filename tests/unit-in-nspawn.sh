#!/usr/bin/env bash
# The unit under a real systemd: boots a Debian container, installs what ships, and looks.
#
#   tests/unit-in-nspawn.sh [DIRECTORY]     of rolekeeper and rolekeeper-lab; default: target/debug
#
# The machine is registered with a lab of its own, which runs outside, on a loopback port.
# Root, Debian's systemd-container and debootstrap are needed. The container's root is made once (half
# a minute) in $ROOTFS, default target/rootfs; every boot is from a clean overlay in memory. The
# container shares the network. Prints one line per check and
# exits non-zero if one failed.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PROGRAMS=${1:-target/debug}
readonly ROOTFS=${ROOTFS:-$PWD/target/rootfs}
readonly PACKAGES=systemd,systemd-sysv,dbus,libpam-systemd,polkitd,procps,ca-certificates

scratch=$(mktemp -d)
readonly scratch
leader=
lab=
failures=0
trap stop_everything EXIT

main() {
    make_rootfs
    collect_what_ships
    start_lab
    start_container
    install_what_ships

    check_registration
    check_start
    check_files
    check_sandbox
    check_consumers
    check_endpoints
    check_fingerprint
    check_reload
    check_restart_keeps_the_file
    check_stop
    check_watchdog
    check_remedy_for_other_owners
    check_targets_of_other_users
    check_advice
    check_services_told
    check_services_told_by_path

    echo "$failures failed"
    ((failures == 0))
}

# --- checks -----------------------------------------------------------------------------------------

# As the service's user, before the service has ever run.
check_registration() {
    check "state directory exists before the first start" \
        "$(inside stat -c '%a %U:%G' /var/lib/rolekeeper)" "700 rolekeeper:rolekeeper"
    inside sh -c 'cat > /etc/rolekeeper/conf.d/lab.toml' <<TOML
[service]
endpoint_url = "$AWS_ENDPOINT_URL"
TOML
    local activation id
    activation=$("$PROGRAMS/rolekeeper-lab" activation create --json)
    id=$(member ActivationCode "$activation" |
        inside runuser -u rolekeeper -- rolekeeper register --region "$AWS_REGION" \
            --activation-id "$(member ActivationId "$activation")" --activation-code-file -)
    check "registered" "$([[ $id == *mi-* ]] && echo yes)" yes
}

check_start() {
    inside systemctl start rolekeeper
    check "ready" "$(property ActiveState) $(property SubState)" "active running"
    check "a status line" "$([[ -n $(property StatusText) ]] && echo yes)" yes
    echo "       $(property StatusText)"
    check "runs as the service's user" \
        "$(inside awk '/^Uid:/ {print $2}' "/proc/$(property MainPID)/status")" "$(inside id -u rolekeeper)"
    check "no capability, no new privileges, seccomp filter" \
        "$(inside grep -E '^(CapBnd|CapEff|NoNewPrivs|Seccomp):' "/proc/$(property MainPID)/status" | tr -s '\t\n' ' ')" \
        "CapEff: 0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2 "
}

check_files() {
    check "runtime directory" "$(inside stat -c '%a %U:%G' /run/rolekeeper)" "755 rolekeeper:rolekeeper"
    check "state directory" "$(inside stat -c '%a %U:%G' /var/lib/rolekeeper)" "700 rolekeeper:rolekeeper"
    check "settings directory" "$(inside stat -c '%a %U:%G' /etc/rolekeeper)" "755 root:root"
    check "control socket" "$(inside test -S /run/rolekeeper/control.sock && echo yes)" yes
    check "an ordinary user does not get into the vault" \
        "$(inside su -s /bin/sh nobody -c 'ls /var/lib/rolekeeper' 2>/dev/null || echo refused)" refused
    check "credentials file" \
        "$(inside stat -c '%a %U:%G' /run/rolekeeper/credentials)" "640 rolekeeper:rolekeeper"
    check "credentials file: an ordinary user" "$(read_as nobody)" refused
    inside usermod -aG rolekeeper backup
    check "credentials file: a member of the group" "$(read_as backup)" read
}

# What root itself may not write in there, the service may not either.
check_sandbox() {
    local pid directory closed=
    local -r outside="/usr /etc /etc/rolekeeper /boot /home /root /opt /srv /run /run/lock /var/lib /var/log"
    pid=$(property MainPID)
    check "exposure as it runs" \
        "$(inside systemd-analyze security --threshold=15 rolekeeper >/dev/null && echo 'at most 1.5')" "at most 1.5"
    for directory in $outside; do
        inside nsenter -t "$pid" -m touch "$directory/x" 2>/dev/null || closed+=" $directory"
    done
    check "closed, to root too" "$closed" " $outside"
}

# Who asks the daemon for credentials: known by user and by door, without a look at their processes.
check_consumers() {
    check "credentials by socket: root" "$(ask_as root)" 0
    check "credentials by socket: an ordinary user" "$(ask_as nobody)" 77
    check "credentials by socket: a member of the group" "$(ask_as backup)" 0
    check "credentials by socket: a unit with the group" \
        "$(ask_in_unit -p User=nobody -p SupplementaryGroups=rolekeeper)" 0

    consumer 'groups = ["games"]'
    inside usermod -aG games nobody
    check "a consumer, by a group of the account database" "$(ask_as nobody)" 0
    inside gpasswd -d nobody games >/dev/null

    consumer 'users = ["nobody"]'
    check "a consumer, by user" "$(ask_as nobody)" 0
    consumer 'users = ["nobody"]
units = ["nightly.service"]'
    check "a consumer of a unit is not seen" "$(ask_in_unit -p User=nobody -u nightly)" 77
    inside install -D -m 644 /usr/share/doc/rolekeeper/examples/consumers-by-unit.conf \
        /run/systemd/system/rolekeeper.service.d/consumers.conf
    inside systemctl daemon-reload
    inside systemctl restart rolekeeper
    check "with the example drop-in: the unit" "$(ask_in_unit -p User=nobody -u nightly)" 0
    check "with the example drop-in: another unit" "$(ask_in_unit -p User=nobody -u other)" 77

    consumer 'users = ["nobody"]
executables = ["/usr/bin/rolekeeper"]'
    check "a consumer's program is not seen" "$(ask_as nobody)" 77
    inside sed -i 's/^#\([CA]\)/\1/' /run/systemd/system/rolekeeper.service.d/consumers.conf
    inside systemctl daemon-reload
    inside systemctl restart rolekeeper
    check "with the capability: the program" "$(ask_as nobody)" 0

    inside rm /etc/rolekeeper/conf.d/consumer.toml /run/systemd/system/rolekeeper.service.d/consumers.conf
    inside systemctl daemon-reload
    inside systemctl restart rolekeeper
    inside journalctl --sync
    check "each was logged" "$( (($(vends) > 0)) && echo yes)" yes
}

# How often somebody got credentials by a rule that names them. All lines are read: who stops reading
# early ends the writer by a signal.
vends() {
    inside journalctl -o cat -u rolekeeper | grep -c 'credentials handed out.*allowed_as="user"'
}

consumer() {
    printf '[[consumer]]\nname = "nightly"\n%s\n' "$1" | inside sh -c 'cat > /etc/rolekeeper/conf.d/consumer.toml'
    inside systemctl reload rolekeeper
    # The next answer of the driver comes after the reload.
    inside rolekeeper refresh >/dev/null
}

# ask_as USER: the exit status.
ask_as() {
    inside su -s /bin/sh "$1" -c 'rolekeeper credential-process >/dev/null 2>&1; echo $?'
}

# ask_in_unit OPTIONS: the exit status in a unit of the system's.
ask_in_unit() {
    inside systemd-run --quiet --collect --wait "$@" rolekeeper credential-process >/dev/null 2>&1 </dev/null
    echo $?
}

# Both endpoints under the unit's real filters: each tells its user apart by asking the kernel.
check_endpoints() {
    inside sh -c 'cat > /etc/rolekeeper/conf.d/endpoints.toml' <<'TOML'
[endpoint.container]
listen = "127.0.0.1:0"
[endpoint.imds]
listen = "127.0.0.1:0"
[[consumer]]
name = "web"
users = ["nobody"]
token_file = "/run/rolekeeper/web.token"
group = "games"
TOML
    # The group to which the token goes: a service may give its files to its own groups.
    drop_in groups '[Service]\nSupplementaryGroups=games\n'
    inside systemctl restart rolekeeper
    wait_for "the endpoints" listens
    local container imds session
    container=$(endpoint container)
    imds=$(endpoint imds)
    check "token file of a consumer" \
        "$(inside stat -c '%a %U:%G' /run/rolekeeper/web.token)" "640 rolekeeper:games"
    check "container endpoint: with the token" \
        "$(http nobody "$container" "GET /credentials/web" \
            "Authorization: $(inside cat /run/rolekeeper/web.token)")" "200 credentials"
    check "container endpoint: without it" "$(http nobody "$container" "GET /credentials/web")" 401
    session=$(body nobody "$imds" "PUT /latest/api/token" "X-aws-ec2-metadata-token-ttl-seconds: 60")
    check "IMDS: the user whom a rule names" \
        "$(http nobody "$imds" "GET /latest/meta-data/iam/security-credentials/web" \
            "X-aws-ec2-metadata-token: $session")" "200 credentials"
    check "IMDS: another user" "$(http daemon "$imds" "PUT /latest/api/token" \
        "X-aws-ec2-metadata-token-ttl-seconds: 60")" 403
    inside rm /etc/rolekeeper/conf.d/endpoints.toml
    drop_in groups ''
    inside systemctl restart rolekeeper
}

listens() {
    [[ -n $(endpoint container) && -n $(endpoint imds) ]]
}

# What the daemon says of itself. Its exit status says whether that is good.
shown() {
    inside rolekeeper status || true
}

# endpoint KIND: where it listens.
endpoint() {
    shown | sed -nE "s|^endpoint +$1: http://([^,]+),.*|\1|p"
}

# http USER ADDRESS REQUEST HEADER...: the status, and whether there are credentials in the answer.
http() {
    local answer credentials=
    answer=$(exchange "$@")
    [[ $answer != *AccessKeyId* ]] || credentials=" credentials"
    echo "$(cut -d ' ' -f 2 <<<"$answer" | head -n 1)$credentials"
}

# body USER ADDRESS REQUEST HEADER...
body() {
    exchange "$@" | tr -d '\r' | sed '1,/^$/d'
}

# A request over a socket that is the user's own.
exchange() {
    local user=$1 address=$2 request=$3
    shift 3
    # The inner shell expands its own arguments.
    # shellcheck disable=SC2016
    inside setpriv --reuid "$user" --regid nogroup --clear-groups bash -c '
        exec 3<>"/dev/tcp/${1/://}"
        shift
        printf "%s\r\n" "$@" "" >&3
        cat <&3' bash "$address" "$request HTTP/1.1" "Host: $address" "Connection: close" "$@"
}

# The same answer to root, to anyone, and inside the sandbox: or the daemon sees another machine than
# the operator.
check_fingerprint() {
    local root user unit
    root=$(inside rolekeeper fingerprint show | attributes)
    user=$(inside su -s /bin/sh nobody -c 'rolekeeper fingerprint show' | attributes)
    install_probe
    unit=$(inside systemctl start rolekeeper-probe && inside cat /run/rolekeeper-probe/shown | attributes) ||
        unit="no answer"
    check "fingerprint: attributes" "$(wc -l <<<"$root")" 9
    check "fingerprint: an ordinary user sees what root sees" "$(diff <(echo "$root") <(echo "$user"))" ""
    check "fingerprint: the unit sees what root sees" "$(diff <(echo "$root") <(echo "$unit"))" ""
}

# The machine; what follows the empty line is the record, which not everybody may read.
attributes() {
    sed '/^$/,$d'
}

check_reload() {
    local pid
    pid=$(property MainPID)
    inside systemctl reload rolekeeper
    check "reload keeps the process" "$(property MainPID) $(property ActiveState)" "$pid active"
}

check_restart_keeps_the_file() {
    inside touch /run/rolekeeper/mark
    inside systemctl restart rolekeeper
    check "a restart keeps the runtime directory" "$(inside test -e /run/rolekeeper/mark && echo kept)" kept
    inside rm /run/rolekeeper/mark
}

check_stop() {
    local began ended
    began=$(milliseconds)
    inside systemctl stop rolekeeper
    ended=$(milliseconds)
    check "stopped without an error" "$(property Result) $(property ExecMainStatus)" "success 0"
    check "a stop leaves what is valid" "$(inside test -e /run/rolekeeper/credentials && echo kept)" kept
    inside systemctl clean --what=runtime rolekeeper
    check "cleaned, it is withdrawn" "$(inside test -e /run/rolekeeper || echo gone)" gone
    echo "       stopped in $((ended - began)) ms, systemctl included"
}

# Frozen, the daemon cannot answer; systemd ends it and starts it again.
check_watchdog() {
    drop_in watchdog '[Service]\nWatchdogSec=2s\nRestartSec=1s\n'
    inside systemctl start rolekeeper
    local pid
    pid=$(property MainPID)
    inside kill -STOP "$pid"
    wait_for "the watchdog to replace the frozen daemon" replaced "$pid"
    check "the watchdog replaces a daemon that hangs" \
        "$(inside journalctl -o cat -u rolekeeper | grep -c 'Watchdog timeout')" 1
    inside systemctl stop rolekeeper
    drop_in watchdog ''
}

replaced() {
    [[ $(property ActiveState) == active && $(property MainPID) != "$1" ]]
}

# Whatever stands between the sandbox and another owner's file, in /var or in a home that the unit hides: what
# `status` prints is pasted once.
check_remedy_for_other_owners() {
    local directory remedy
    for directory in /var/lib/theirs /home/theirs/.aws; do
        inside install -d -o backup -g backup -m 755 "${directory%/*}" "$directory"
        printf '[[target]]\nname = "theirs"\npath = "%s/credentials"\nowner = "backup"\nmode = "0600"\n' \
            "$directory" | inside sh -c 'cat > /etc/rolekeeper/conf.d/theirs.toml'
        inside systemctl restart rolekeeper
        wait_for "a remedy" remedy_is_told
        remedy=$(remedy_of_target)
        # Behind it stands what to do where it is not the unit.
        inside sh -c "${remedy%%; *}"
        wait_for "the file" inside test -s "$directory/credentials"
        check "remedy of a target in $directory: pasted once" \
            "$(inside stat -c '%a %U' "$directory/credentials")$(remedy_of_target)" "600 backup"
        inside rm /etc/systemd/system/rolekeeper.service.d/local.conf /etc/rolekeeper/conf.d/theirs.toml
        inside systemctl daemon-reload
    done
    inside rm -r /var/lib/theirs /home/theirs
    inside systemctl stop rolekeeper
}

remedy_is_told() {
    [[ -n $(remedy_of_target) ]]
}

# What stands below the target that is called theirs.
remedy_of_target() {
    shown | sed -n '/^target  *theirs:/,/^[^ ]/s/^  try  *//p' | head -n 1
}

# The example drop-in lets the daemon reach another user's directory, and no more than that one.
check_targets_of_other_users() {
    inside install -d -o backup -g backup -m 700 /var/lib/backup/.aws /var/lib/other
    inside install -D -m 644 /usr/share/doc/rolekeeper/examples/targets-of-other-users.conf \
        /etc/systemd/system/rolekeeper.service.d/targets.conf
    inside sh -c 'cat > /etc/rolekeeper/conf.d/backup.toml' <<'TOML'
[[target]]
name = "backup"
path = "/var/lib/backup/.aws/credentials"
owner = "backup"
group = "backup"
mode = "0600"
TOML
    inside systemctl daemon-reload
    inside systemctl start rolekeeper
    check "starts with the example drop-in" "$(property ActiveState)" active
    check "another user's credentials file" \
        "$(inside stat -c '%a %U:%G' /var/lib/backup/.aws/credentials)" "600 backup:backup"
    check "its neighbours stay read-only" \
        "$(inside nsenter -t "$(property MainPID)" -m touch /var/lib/other/x 2>/dev/null || echo refused)" refused
    inside systemctl stop rolekeeper
}

# Services that are told of new credentials, from inside the unit's sandbox as it ships. What systemd and
# polkit say to it depends on the example rule alone.
check_services_told() {
    local -r rule=/etc/polkit-1/rules.d/50-rolekeeper.rules
    install_services_to_tell
    inside sh -c 'cat > /etc/rolekeeper/conf.d/legacy.toml' <<'TOML'
[[target]]
name = "legacy"
path = "/run/rolekeeper/legacy"
reload = { unit = "legacy.service", min_interval = "1s", jitter = "0s" }

[[target]]
name = "worker"
path = "/run/rolekeeper/worker"
reload = { unit = "worker.service", signal = "SIGHUP", min_interval = "1s", jitter = "0s" }
TOML
    inside systemctl start rolekeeper
    wait_for "both to be refused" refused_by_polkit legacy worker
    check "without a rule: delivered" \
        "$(inside stat -c '%a %U:%G' /run/rolekeeper/legacy)" "640 rolekeeper:rolekeeper"
    check "without a rule: no service is told" "$(told legacy) $(told worker)" "0 0"
    shown | grep -A 4 '^  tells' | head -n 4 | sed 's/^/       /'

    inside install -m 644 /usr/share/doc/rolekeeper/examples/50-rolekeeper.rules "$rule"
    # As the example says, and no more.
    inside systemctl try-restart polkit
    inside systemctl reload rolekeeper
    wait_for "both to be told" both_told
    check "with the example rule: reloaded" "$( (($(told legacy) > 0)) && echo yes)" yes
    check "with the example rule: signalled" "$( (($(told worker) > 0)) && echo yes)" yes
    shown | grep '^  tells' | sed 's/^/       /'
    local what
    for what in "restart legacy.service" "stop legacy.service" "kill legacy.service" \
        "try-reload-or-restart worker.service" "try-reload-or-restart other.service" \
        "start other.service"; do
        # Two words on purpose.
        # shellcheck disable=SC2086
        check "with the example rule: $what" "$(may $what && echo done || echo refused)" refused
    done
    check "with the example rule: another user" \
        "$(inside runuser -u backup -- systemctl --no-ask-password try-reload-or-restart legacy 2>/dev/null || echo refused)" \
        refused
    inside systemctl stop rolekeeper
    inside rm "$rule" /etc/rolekeeper/conf.d/legacy.toml
}

# The same without polkit: systemd looks at the file.
check_services_told_by_path() {
    local before
    inside sh -c 'cat > /etc/rolekeeper/conf.d/legacy.toml' <<'TOML'
[[target]]
name = "legacy"
path = "/run/rolekeeper/legacy"
TOML
    inside sh -c 'cp /usr/share/doc/rolekeeper/examples/rolekeeper-reload@.* /etc/systemd/system/'
    inside systemctl daemon-reload
    inside systemctl start rolekeeper
    inside systemctl --quiet enable --now rolekeeper-reload@legacy.path
    before=$(told legacy)
    inside rolekeeper refresh >/dev/null
    wait_for "the path unit to reload" told_more_than "$before"
    check "by the example path unit: reloaded" "$( (($(told legacy) > before)) && echo yes)" yes
    inside systemctl stop rolekeeper rolekeeper-reload@legacy.path
}

# One that reloads, one that heeds a signal, and one that nobody may tell. Each time is a line.
install_services_to_tell() {
    inside sh -e <<'SH'
for name in legacy other; do
    printf '[Service]\nExecStart=sleep infinity\nExecReload=sh -c "echo told >> /run/told-%s"\n' $name \
        > /run/systemd/system/$name.service
done
cat > /run/systemd/system/worker.service <<'UNIT'
[Service]
ExecStart=sh -c 'trap "echo told >> /run/told-worker" HUP; while :; do sleep 1 & wait; done'
UNIT
systemctl daemon-reload
systemctl start legacy worker other
SH
}

# told NAME: how often.
told() {
    inside sh -c "cat /run/told-$1 2>/dev/null | wc -l"
}

told_more_than() {
    (($(told legacy) > $1))
}

both_told() {
    (($(told legacy) > 0 && $(told worker) > 0))
}

# What the daemon's user may do, as systemd and polkit see it.
may() {
    inside runuser -u rolekeeper -- systemctl --no-ask-password "$@" 2>/dev/null
}

refused_by_polkit() {
    (($(shown | grep -c 'failure .* denied: .* Interactive authentication required') == $#))
}

# --- the container ----------------------------------------------------------------------------------

make_rootfs() {
    [[ -x $ROOTFS/usr/lib/polkit-1/polkitd ]] && return
    if [[ -x $ROOTFS/usr/lib/systemd/systemd ]]; then
        # One that an earlier version of this script made.
        DEBIAN_FRONTEND=noninteractive chroot "$ROOTFS" \
            sh -c 'apt-get update && apt-get install -y --no-install-recommends polkitd' \
            >"$scratch/apt.log" 2>&1 || {
            tail -n 5 "$scratch/apt.log" >&2
            return 1
        }
        return
    fi
    mkdir -p "$(dirname "$ROOTFS")"
    debootstrap --variant=minbase --include="$PACKAGES" bookworm "$ROOTFS" >"$scratch/debootstrap.log" || {
        tail -n 5 "$scratch/debootstrap.log" >&2
        return 1
    }
}

collect_what_ships() {
    mkdir "$scratch/ship"
    install -m 755 "$PROGRAMS/rolekeeper" "$scratch/ship/"
    cp -r systemd packaging "$scratch/ship/"
}

start_lab() {
    "$PROGRAMS/rolekeeper-lab" serve --listen 127.0.0.1:0 --env-file "$scratch/lab.env" >"$scratch/lab.log" 2>&1 &
    lab=$!
    wait_for "the lab" test -s "$scratch/lab.env"
    # shellcheck disable=SC1091
    . "$scratch/lab.env"
}

start_container() {
    forget_cgroups
    systemd-nspawn -q -D "$ROOTFS" --register=no --keep-unit --volatile=overlay --console=read-only \
        --bind-ro="$scratch/ship:/mnt/ship" -b >"$scratch/console.log" 2>&1 &
    nspawn=$!
    wait_for "the container's first process" find_leader
    wait_for "the container to be up" is_up
}

# nspawn leaves its cgroups behind, and a leftover in one hierarchy alone keeps the next container
# from starting.
forget_cgroups() {
    local hierarchy
    for hierarchy in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
        find "$hierarchy/payload" "$hierarchy/supervisor" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
}

find_leader() {
    leader=$(pgrep -P "$nspawn" | head -n 1)
    [[ -n $leader ]]
}

is_up() {
    inside systemctl is-system-running 2>/dev/null | grep -qE '^(running|degraded)$'
}

stop_everything() {
    [[ -z $lab ]] || kill "$lab" 2>/dev/null || true
    # SIGRTMIN+4 is systemd's poweroff.
    if [[ -n $leader ]] && kill -RTMIN+4 "$leader" 2>/dev/null; then
        wait "$nspawn" || true
        forget_cgroups
    fi
    rm -rf "$scratch"
}

install_what_ships() {
    inside sh -e <<'SH'
cd /mnt/ship
install -m 755 rolekeeper /usr/bin/rolekeeper
install -m 644 systemd/rolekeeper.service /usr/lib/systemd/system/rolekeeper.service
install -m 644 systemd/rolekeeper.sysusers.conf /usr/lib/sysusers.d/rolekeeper.conf
install -m 644 systemd/rolekeeper.tmpfiles.conf /usr/lib/tmpfiles.d/rolekeeper.conf
install -d /usr/share/doc/rolekeeper/examples
install -m 644 systemd/examples/* /usr/share/doc/rolekeeper/examples/
systemd-sysusers rolekeeper.conf
systemd-tmpfiles --create rolekeeper.conf
systemctl daemon-reload
SH
}

# The unit's sandbox around a command that shows the fingerprint.
install_probe() {
    inside sh -e <<'SH'
sed -E -e '/^(Type|NotifyAccess|WatchdogSec|Restart|RestartSec|ExecReload|LoadCredentialEncrypted)=/d' \
    -e 's|^ExecStart=.*|ExecStart=/usr/bin/rolekeeper fingerprint show\nStandardOutput=truncate:/run/rolekeeper-probe/shown|' \
    -e 's|^\[Service\]|[Service]\nType=oneshot|' \
    /usr/lib/systemd/system/rolekeeper.service > /run/systemd/system/rolekeeper-probe.service
mkdir -p /run/rolekeeper-probe
systemctl daemon-reload
SH
}

drop_in() {
    inside mkdir -p /run/systemd/system/rolekeeper.service.d
    # The text has escapes on purpose.
    # shellcheck disable=SC2059
    printf "$2" | inside sh -c "cat > /run/systemd/system/rolekeeper.service.d/$1.conf"
    inside systemctl daemon-reload
}

inside() {
    nsenter -t "$leader" -a "$@"
}

property() {
    inside systemctl show -P "$1" rolekeeper
}

read_as() {
    inside su -s /bin/sh "$1" -c 'cat /run/rolekeeper/credentials' >/dev/null 2>&1 && echo read || echo refused
}

# A unit with a stale key, at rest, running, and mended by what is printed.
check_advice() {
    inside sh -c 'cat > /run/systemd/system/stale.service' <<'UNIT'
[Service]
User=backup
Environment=AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE "AWS_SECRET_ACCESS_KEY=a secret"
ExecStart=/usr/bin/sleep 1000
UNIT
    inside systemctl daemon-reload
    # Nothing is called good without a look at the daemon.
    inside systemctl start rolekeeper
    check "advice: a unit that does not run" "$(advise_stale)" "78 not-renewed"
    inside systemctl start stale
    check "advice: the same unit, running" "$(advise_stale)" "78 not-renewed"
    check "advice: no secret in it" \
        "$(inside rolekeeper advise --unit stale --sdk boto3 2>&1 | grep -cE 'a secret|IOSFODNN')" 0
    # As it is printed: each file behind its name, until the commands.
    inside sh -c 'rolekeeper advise --unit stale --sdk boto3 2>/dev/null | while IFS= read -r line; do
        case $line in
            "# /"*) file=${line#\# }; mkdir -p "${file%/*}"; : > "$file" ;;
            "systemctl "*) file= ;;
            *) [ -z "$file" ] || printf "%s\n" "$line" >> "$file" ;;
        esac
    done'
    inside systemctl daemon-reload
    inside systemctl reload rolekeeper
    check "advice: mended, before it is started again" "$(advise_stale)" "78 not-renewed"
    inside systemctl restart stale
    check "advice: mended" "$(advise_stale)" "0 renewed"
    # What advise reads of a file of variables is what systemd makes of it.
    inside sh -c 'cat > /run/quoted.env' <<'VARIABLES'
# AWS_CONFIG_FILE=/srv/comment
AWS_CONFIG_FILE=/srv/it's  "here"\
 and there  
VARIABLES
    inside sh -c 'cat > /run/systemd/system/quoted.service' <<'UNIT'
[Service]
Type=oneshot
EnvironmentFile=/run/quoted.env
ExecStart=sh -c 'printf %%s "$AWS_CONFIG_FILE" > /run/quoted'
UNIT
    inside systemctl daemon-reload
    inside systemctl start quoted
    check "advice: a file of variables" \
        "$(inside rolekeeper advise --unit quoted --sdk go --json 2>/dev/null |
            grep -o '"path":"/srv/[^,}]*"' | sed 's,\\",",g')" \
        "\"path\":\"$(inside cat /run/quoted)\""
    check "advice: there is no such unit" \
        "$(inside rolekeeper advise --unit no-such 2>&1 >/dev/null | head -n 1)" \
        "rolekeeper: there is no unit no-such"
    inside systemctl stop stale rolekeeper
    inside rm -r /run/systemd/system/{stale,quoted}.service /etc/systemd/system/stale.service.d
}

advise_stale() {
    local report status=0
    report=$(inside rolekeeper advise --unit stale --sdk boto3 --json 2>/dev/null) || status=$?
    echo "$status $(member verdict "${report##*\"by_sdk\"}")"
}

# --- small things -----------------------------------------------------------------------------------

check() {
    if [[ $2 == "$3" ]]; then
        echo "ok     $1${2:+: $2}"
    else
        echo "FAILED $1: expected '$3', found '$2'"
        failures=$((failures + 1))
    fi
}

# wait_for WHAT COMMAND...: asks ten times a second, for half a minute at most.
wait_for() {
    local what=$1 turn
    shift
    for ((turn = 0; turn < 300; turn++)); do
        "$@" && return
        sleep 0.1
    done
    echo "gave up waiting for $what" >&2
    [[ -s $scratch/console.log ]] && tail -n 20 "$scratch/console.log" >&2
    return 1
}

# member NAME JSON: a text member of a flat object.
member() {
    sed -nE "s/.*\"$1\" *: *\"([^\"]*)\".*/\1/p" <<<"$2"
}

milliseconds() {
    date +%s%3N
}

main
