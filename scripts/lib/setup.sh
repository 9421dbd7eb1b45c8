# shellcheck shell=bash
# Owns what a fresh Debian 12 needs before anything of this repository can be built or run: packages of Debian, packages
# of npm, and the features of the host. Sourced by the commands in scripts/, which then call one of
#
#   setup_build         enough to compile and to check: becomes root only if a Debian package is missing
#   setup_host "$@"     also enough to load programs and to make network namespaces: becomes root
#
# Standard output belongs to the command; everything here speaks on standard error. A step that has nothing to do says
# nothing.
set -Eeuo pipefail
# Without this, `set -e` ends a script in silence.
trap 'echo "${BASH_SOURCE[0]}: line $LINENO: failed: $BASH_COMMAND" >&2' ERR

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$ROOT"
LOGS=out/log
mkdir -p "$LOGS"
# The pinned Node.js (package node-linux-*) before whatever the host has.
export PATH="$ROOT/node_modules/.bin:$PATH:/usr/sbin:/sbin"

DEBIAN_PACKAGES=(
  clang clang-19 clang-format libclang-rt-14-dev libbpf-dev libelf-dev zlib1g-dev pkg-config cmake make ninja-build g++
  iproute2 ethtool tcpdump iputils-ping procps jq git ca-certificates openssl curl etcd-server bird2
  libiscsi-bin qemu-utils qemu-block-extra
)
# package:service of those that would start something.
SERVICES=(etcd-server:etcd bird2:bird rpcbind:rpcbind nfs-common:nfs-common nfs-ganesha:nfs-ganesha)
NPM_VERSION=11.19.0
# XDP links came with 5.9; test runs with live frames, which the tests and benchmarks send traffic with, with 5.18.
KERNEL_OLDEST=5.18
KERNEL_TYPES=/sys/kernel/btf/vmlinux
FILE_SYSTEMS=/proc/filesystems
BPFFS=/sys/fs/bpf
POLICY=/usr/sbin/policy-rc.d

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# step NAME WHAT COMMAND…: runs the command with its output in $LOGS/NAME.log, and shows the end of it on failure.
# The command must report failure by its status: `set -e` does not reach inside.
step() {
  local what=$2 log=$LOGS/$1.log started=${EPOCHREALTIME/[.,]/} status=0
  shift 2
  printf '%s ... ' "$what" >&2
  # 9 is the lock; a process left running must not keep it.
  "$@" >"$log" 2>&1 </dev/null 9>&- || status=$?
  local ms=$(((${EPOCHREALTIME/[.,]/} - started) / 1000))
  if ((status != 0)); then
    printf 'failed after %d.%d s\n' $((ms / 1000)) $((ms % 1000 / 100)) >&2
    tail -n 25 "$log" >&2
    fail "$what failed; the full output is in $log"
  fi
  printf '%d.%d s\n' $((ms / 1000)) $((ms % 1000 / 100)) >&2
}

# Two commands started at once must not install or compile into the same directories.
lock() {
  exec 9>out/.lock
  flock -n 9 && return
  echo 'waiting for another command of this repository to finish its set-up ...' >&2
  flock 9
}

unlock() {
  exec 9>&-
}

is_root() {
  [[ $(id -u) == 0 ]]
}

# Through sudo, what root made under the user's tree would stay root's, and `rm -rf out` would need sudo too.
give_back() {
  local paths=()
  [[ -n ${SUDO_UID-} && $SUDO_UID != 0 ]] || return 0
  for path in out build node_modules; do [[ -e $path ]] && paths+=("$path"); done
  find "${paths[@]}" -user root -exec chown -h "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" {} +
}

# --- the host: one check each, one sentence each ---

check_linux() {
  [[ $(uname -s) == Linux ]] ||
    fail "Holdfast needs Linux, and this is $(uname -s): use a virtual machine with Debian 12."
}

check_architecture() {
  case $(uname -m) in
  x86_64 | aarch64) ;;
  *) fail "Holdfast runs on x86_64 and aarch64, and this is $(uname -m)." ;;
  esac
}

check_kernel() {
  local release major minor
  release=$(uname -r)
  IFS=.- read -r major minor _ <<<"$release"
  ((major > ${KERNEL_OLDEST%.*} || (major == ${KERNEL_OLDEST%.*} && ${minor%%[!0-9]*} >= ${KERNEL_OLDEST#*.}))) ||
    fail "Linux $release is too old: Holdfast needs $KERNEL_OLDEST for XDP links and for test runs with live frames" \
      "(Debian 12 has 6.1)."
}

check_bpf() {
  grep -qw bpf "$FILE_SYSTEMS" ||
    fail 'This kernel has no BPF: boot one built with CONFIG_BPF_SYSCALL=y, as all of Debian are.'
  [[ -r $KERNEL_TYPES ]] ||
    fail "This kernel does not describe its types ($KERNEL_TYPES is missing): boot one built with CONFIG_DEBUG_INFO_BTF=y," \
      "as all of Debian 12 are."
  [[ $(stat -f -c %T "$BPFFS" 2>/dev/null) == bpf_fs ]] || mount -t bpf bpf "$BPFFS" 2>/dev/null ||
    fail "The BPF file system cannot be mounted on $BPFFS: in a container, start it with --privileged."
}

check_namespaces() {
  local reason
  # ip netns also needs a mount namespace, which a plain chroot cannot have.
  reason=$(unshare --net --mount true 2>&1) ||
    fail "Network namespaces cannot be made here ($reason): in a container, start it with --privileged;" \
      'otherwise boot a kernel with CONFIG_NET_NS=y.'
}

check_clang() {
  command -v clang >/dev/null || fail 'clang is missing although its package is installed: put it on PATH.'
  clang --print-targets | grep -qw bpf || fail "$(command -v clang) cannot compile for BPF: put Debian's clang first on PATH."
}

become_root() { # the command's own arguments
  local command=scripts/${0##*/}
  is_root && return
  command -v sudo >/dev/null ||
    fail "$command needs root, and there is no sudo: run it as root, for example with su -c '$0 $*'."
  [[ -t 0 ]] || sudo -n true 2>/dev/null ||
    fail "$command needs root, and sudo would ask for a password, but there is no terminal: run it as root."
  # sudo has a PATH of its own, which lacks an npm in the user's home.
  exec sudo --preserve-env=CI,NO_COLOR,FORCE_COLOR,HOLDFAST_LONG env "PATH=$PATH" "$0" "$@"
}

# --- Debian packages ---

missing_packages() {
  local wanted=("${DEBIAN_PACKAGES[@]}")
  command -v npm >/dev/null || wanted+=(nodejs npm)
  # It fails when it knows nothing of one of them, which is what is asked.
  { dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null || true; } |
    awk -v wanted="${wanted[*]}" '
      $2 == "installed" { installed[$1] = 1 }
      END { count = split(wanted, names, " "); for (i = 1; i <= count; i++) if (!(names[i] in installed)) print names[i] }'
}

# Of a service without a script of its own, only systemd knows.
disable_service() {
  if [[ -e /etc/init.d/$1 ]]; then
    update-rc.d "$1" disable
  elif command -v systemctl >/dev/null; then
    systemctl disable "$1.service"
  fi
}

# Tests start etcd, BIRD and other servers themselves. Those that their packages would start, now and whenever the host does, are
# nobody's.
# https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt
without_services() {
  (
    policy=$POLICY
    if [[ ! -e $policy ]]; then
      trap 'rm -f "$policy"' EXIT
      printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" || exit
    fi
    "$@" || exit
    for service in "${SERVICES[@]}"; do
      [[ " $* " != *" ${service%:*} "* ]] || disable_service "${service#*:}" || exit
    done
  )
}

apt_install() {
  local options=(-y --no-install-recommends -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
  export DEBIAN_FRONTEND=noninteractive
  # Package lists that are absent or out of date show as a failure here; only then are new ones worth the time.
  apt-get install "${options[@]}" "$@" ||
    { apt-get -o DPkg::Lock::Timeout=300 update && apt-get install "${options[@]}" "$@"; }
}

setup_packages() {
  local missing
  command -v dpkg-query >/dev/null ||
    fail "This is not Debian: the scripts install what they need with apt-get, on Debian 12."
  mapfile -t missing < <(missing_packages)
  ((${#missing[@]} == 0)) && return
  become_root "$@"
  step apt "Debian packages: ${missing[*]}" without_services apt_install "${missing[@]}"
  hash -r
}

# --- npm packages ---

# The lock file, and whatever else decides whether npm accepts it.
npm_inputs() {
  {
    jq -c '{workspaces, dependencies, devDependencies, optionalDependencies}' package.json native/*/package.json
    cat package-lock.json .npmrc
    uname -m
  } | sha256sum
}

# npm on the Node.js of Debian 12 leaves out optional packages, compilers among them, that want a newer Node.js, and
# does not say so. So the npm of the host only fetches the pinned Node.js, and an npm to run on it.
npm_install() {
  local architecture=x64 toolchain=out/toolchain version
  [[ $(uname -m) != aarch64 ]] || architecture=arm64
  version=$(jq -re ".optionalDependencies[\"node-linux-$architecture\"]" package.json) || return
  npm install --prefix "$toolchain" --no-save "node-linux-$architecture@$version" "npm@$NPM_VERSION" &&
    PATH="$ROOT/$toolchain/node_modules/.bin:$PATH" npm ci
}

# The stamp is inside node_modules, which npm deletes first: an interrupted installation leaves none.
setup_npm() {
  local stamp=node_modules/.holdfast-stamp inputs version
  inputs=$(npm_inputs)
  [[ -r $stamp && $(<"$stamp") == "$inputs" ]] && return
  step npm 'npm packages' npm_install
  hash -r
  version=$(node_modules/.bin/node --version 2>/dev/null) || version=none
  [[ $version == v24.* ]] ||
    fail "npm did not install the pinned Node.js 24 for this machine (found: $version): see out/log/npm.log."
  printf '%s\n' "$inputs" >"$stamp"
}

setup_build() {
  check_linux
  check_architecture
  lock
  setup_packages "$@"
  check_clang
  setup_npm
  give_back
  unlock
}

setup_host() {
  check_linux
  check_architecture
  become_root "$@"
  check_kernel
  check_bpf
  setup_build "$@"
  check_namespaces
}
