#!/usr/bin/env bash
# slurm_cluster.sh COMMAND...: starts munged, slurmctld and slurmd of Debian as a throwaway cluster of this one host (loopback
# only, free ports, everything in a temporary folder), runs COMMAND with SLURM_CONF set, and ends them again. The exit code is
# COMMAND's; 77 when a program of the cluster is missing, 78 when it does not come up.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin
for program in munged slurmctld slurmd srun sinfo; do
  command -v $program >/dev/null || { echo "slurm_cluster: $program is not installed" >&2; exit 77; }
done

folder=$(mktemp -d)
chmod 755 "$folder"
pids=()
end_all() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for _ in $(seq 50); do
    local left=0
    for pid in "${pids[@]}"; do ! kill -0 "$pid" 2>/dev/null || left=1; done
    [ $left = 1 ] || break
    sleep 0.1
  done
  for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$folder"
}
trap end_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

read -r ctld_port slurmd_port < <(python3 - <<'PORTS'
import socket
sockets = [socket.socket() for _ in range(2)]
for s in sockets:
    s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))
PORTS
)
host=$(hostname -s)
user=$(id -un)
mkdir "$folder/state" "$folder/spool"
head -c 1024 /dev/urandom >"$folder/munge.key"
chmod 600 "$folder/munge.key"
cat >"$folder/slurm.conf" <<CONF
ClusterName=throwaway
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort=$ctld_port
SlurmdPort=$slurmd_port
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
KillWait=5
MailProg=/bin/true
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$folder/slurm.conf

munged --foreground --force --socket="$folder/munge.socket" --key-file="$folder/munge.key" --pid-file="$folder/munge.pid" \
  --log-file="$folder/munge.log" --seed-file="$folder/munge.seed" >"$folder/munged.out" 2>&1 &
pids+=($!)
for _ in $(seq 50); do [ ! -S "$folder/munge.socket" ] || break; sleep 0.1; done
slurmctld -D >"$folder/slurmctld.out" 2>&1 &
pids+=($!)
slurmd -D -N "$host" >"$folder/slurmd.out" 2>&1 &
pids+=($!)
ready=
for _ in $(seq 150); do
  if sinfo --noheader --format=%T 2>/dev/null | grep -q '^idle$'; then ready=1; break; fi
  sleep 0.2
done
if [ -z "$ready" ]; then
  echo "slurm_cluster: the node does not become idle" >&2
  tail -n 20 "$folder"/*.log "$folder"/*.out >&2 || true
  exit 78
fi
status=0
"$@" || status=$?
exit $status
