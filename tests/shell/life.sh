#!/bin/bash
# A domain's whole life, with the xlpy on the PATH: made, listed, held, prodded, changed, restarted, crashed, ended.
set -euo pipefail

command -v xlpy >/dev/null || { echo "skip: no xlpy on the PATH" >&2; exit 77; }
command -v mke2fs >/dev/null || [ -x /sbin/mke2fs ] || { echo "skip: no mke2fs (package e2fsprogs)" >&2; exit 77; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XLPY_ROOT=$work/host
cd "$work"

cat >vm.cfg <<'CFG'
name    = "vm"
type    = "hvm"
memory  = 256
vcpus   = 2
vnvdimm = [ 'file=/mnt/pmem0/vm1.img' ]
on_crash = "coredump-restart"
CFG

step() { echo "-- $*"; }
is() { [ "$2" = "$3" ] || { echo "FAILED: $1: found '$2', expected '$3'" >&2; exit 1; }; }
fails() {  # fails STATUS COMMAND...
    local expected=$1 status=0
    shift
    "$@" >out 2>&1 || status=$?
    [ "$status" = "$expected" ] || { cat out >&2; is "status of $*" "$status" "$expected"; }
}
state() { xlpy list vm | tail -1 | cut -c 64-69; }
pmem() { xlpy mem read vm 0x500000000 "$1" -o -; }

step "nothing is there, and a dry run makes nothing"
fails 4 xlpy domid vm
xlpy create -n -q vm.cfg >dry.json
fails 4 xlpy domid vm

step "create"
xlpy create -q vm.cfg
is domid "$(xlpy domid vm)" 1
is domname "$(xlpy domname 1)" vm
is state "$(state)" r-----
fails 5 xlpy create -q vm.cfg  # it uses up domid 2, as with the real xl
xlpy vm-list | grep -q ' 1    vm '
is "vCPUs" "$(xlpy vcpu-list vm | wc -l)" 3
xlpy uptime -s vm | grep -q ', vm (1)$'

step "pause and unpause"
xlpy pause vm
is state "$(state)" --p---
fails 5 xlpy reboot vm
xlpy unpause vm
is state "$(state)" r-----

step "sleep and resume"
xlpy trigger vm sleep
is state "$(state)" -b----
xlpy trigger vm s3resume
is state "$(state)" r-----

step "persistent memory outlives a reboot"
xlpy mem write vm 0x500000000 --hex "$(printf 'lasting' | od -An -tx1 | tr -d ' ')"
xlpy reboot vm
is "domid after the reboot" "$(xlpy domid vm)" 3
is content "$(pmem 7)" lasting

step "rename, memory, xenstore"
xlpy rename vm other
fails 4 xlpy domid vm
xlpy rename other vm
xlpy mem-set vm 200
is target "$(xlpy xenstore read /local/domain/3/memory/target)" $((192 * 1024))
fails 6 xlpy mem-set vm 1g
xlpy xenstore write /local/domain/3/data/note hello
is note "$(xlpy xenstore read --domid 3 data/note)" hello
is event "$(xlpy xenstore watch -n 1 /local/domain/3/data)" /local/domain/3/data

step "another vNVDIMM comes and goes"
xlpy nvdimm-attach vm file=/dev/pmem1,label_size=128K
is devices "$(xlpy nvdimm-list vm | wc -l)" 3
fails 5 xlpy nvdimm-attach vm file=/dev/pmem1
fails 5 xlpy nvdimm-detach vm 1
xlpy acpi eval vm '\_SB.NVDR.NV01._EJ0' 1 >/dev/null
xlpy nvdimm-detach vm 1
is devices "$(xlpy nvdimm-list vm | wc -l)" 2

step "a crash: core dump, and a new start"
xlpy sysrq vm c
is "domid after the crash" "$(xlpy domid vm)" 4
is core "$(head -c 4 "$XLPY_ROOT/dump/vm.core" | tail -c 3)" ELF
is content "$(pmem 7)" lasting

step "another configuration at the next restart"
xlpy config-update vm vm.cfg vcpus=1 'on_poweroff="preserve"'
xlpy reboot vm
is "vCPUs" "$(xlpy list --json | grep -o '"vcpus": [0-9]*')" '"vcpus": 1'

step "power off, keep, destroy"
xlpy shutdown -w vm
is state "$(state)" ---s--
fails 5 xlpy shutdown vm
xlpy destroy vm
fails 4 xlpy destroy vm

step "the next domain finds what the last one left"
xlpy create -q vm.cfg
is content "$(pmem 7)" lasting
xlpy shutdown -a
is domains "$(xlpy list | wc -l)" 2
xlpy xenstore ls -f >tree
if grep -q /vm1.img tree; then is "xenstore" "$(grep /vm1.img tree)" ""; fi

echo "passed"
