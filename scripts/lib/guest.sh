# shellcheck shell=bash
# Owns what tests with virtual machines and with other people's servers need, beyond what setup.sh installs: Debian
# packages, and out/vm/ with the kernel and the initramfs that every guest boots (test/lab/vm). The kernel is
# downloaded and unpacked, never installed: it is the guests', not this host's. Sourced after setup.sh.
#
#   setup_guests "$@"    becomes root if a package is missing

GUEST=out/vm
GUEST_SOURCES=test/lab/vm/guest
GUEST_STAMP=$GUEST/.holdfast-stamp
# Of Debian's kernels the one without drivers of real hardware: it has all that a guest needs, in a third of the bytes.
GUEST_KERNEL=linux-image-cloud-amd64

GUEST_PACKAGES=(
  # The machine, with its own iSCSI initiator.
  qemu-system-x86 qemu-block-extra kmod busybox-static
  # Work for guests.
  nfs-common rsync tcc make
  # NFS servers and clients that nobody here wrote.
  nfs-ganesha nfs-ganesha-vfs rpcbind libnfs-utils libnfs-dev
)

# With what they depend on, for modprobe. Those in GUEST_BOOT_MODULES are loaded at start.
GUEST_BOOT_MODULES=(virtio_pci virtio_mmio virtio_console virtio_net)
GUEST_MODULES=(
  "${GUEST_BOOT_MODULES[@]}"
  virtio_blk virtio_scsi virtio-rng sd_mod sg crc32c_intel crc32c_generic loop
  nfs nfsv3 nfsv4 sunrpc lockd nfs_acl
  iscsi_tcp libiscsi libiscsi_tcp scsi_transport_iscsi
)
GUEST_PROGRAMS=(busybox dash tar git make tcc rsync mount umount mount.nfs umount.nfs mkfs.ext4 fsck.ext4)
# What programs open by name: git's parts, the C library as tcc compiles and links with it.
GUEST_FILES=(
  /usr/bin/git-upload-pack /usr/bin/git-receive-pack
  /usr/include/{stdio,stdlib,string,strings,features,features-time64,alloca,endian,stdc-predef}.h
  /usr/include/x86_64-linux-gnu/{bits,gnu,sys}
  /usr/lib/x86_64-linux-gnu/{crt1.o,crti.o,crtn.o,libc.so,libc.so.6,libc_nonshared.a,ld-linux-x86-64.so.2,tcc}
  /usr/lib64/ld-linux-x86-64.so.2
)

guest_inputs() {
  {
    sha256sum scripts/lib/guest.sh "$GUEST_SOURCES"/*
    dpkg-query -W -f '${Package} ${Version}\n' "${GUEST_PACKAGES[@]}" git libc6-dev
  } | sha256sum
}

# Package lists that are absent or out of date show as a failure here; only then are new ones worth the time.
guest_download() {
  local package
  package=$(apt-cache depends "$GUEST_KERNEL" | awk '$1 == "Depends:" { print $2; exit }')
  [[ -n $package ]] && (cd "$GUEST" && apt-get download "$package")
}

guest_kernel() {
  local packages deb=$GUEST/kernel.deb
  mkdir -p "$GUEST"
  if [[ ! -e $deb ]]; then
    rm -f "$GUEST"/linux-image-*.deb
    guest_download || { apt-get -o DPkg::Lock::Timeout=300 update && guest_download; } || return
    packages=("$GUEST"/linux-image-*.deb)
    mv "${packages[0]}" "$deb" || return
  fi
  rm -rf "$GUEST/kernel"
  dpkg -x "$deb" "$GUEST/kernel" && mv "$GUEST"/kernel/boot/vmlinuz-* "$GUEST/vmlinuz"
}

# guest_modules RELEASE ROOT: copies the modules with all that they need.
guest_modules() {
  local from=$GUEST/kernel/lib/modules/$1 to=$2/usr/lib/modules/$1 found module path
  depmod -b "$GUEST/kernel" "$1" || return
  mkdir -p "$to"
  for module in "${GUEST_MODULES[@]}"; do
    # A dash and an underscore are one to modprobe.
    found=$(awk -F: -v name="${module//-/_}" '
      { file = $1; sub(/.*\//, "", file); sub(/\.ko$/, "", file); gsub(/-/, "_", file) }
      file == name { print $1 $2 }' "$from/modules.dep")
    # Built in, then.
    [[ -n $found ]] || continue
    for path in $found; do
      mkdir -p "$to/${path%/*}" && cp "$from/$path" "$to/$path" || return
    done
  done
  printf '%s\n' "${GUEST_BOOT_MODULES[@]}" >"$2/modules.boot"
  cp "$from"/modules.{builtin,order} "$to" && depmod -b "$2" "$1"
}

# guest_copy ROOT FILE…: to the same place, as in a system where /bin and /lib are in /usr; links become what they point at.
guest_copy() {
  local root=$1 file target
  shift
  for file in "$@"; do
    target=$root/${file#/}
    [[ $file == /usr/* ]] || target=$root/usr$file
    mkdir -p "${target%/*}"
    [[ -e $target ]] || cp -rL "$file" "$target" || return
  done
}

guest_programs() { # ROOT
  local program path libraries
  for program in "${GUEST_PROGRAMS[@]}"; do
    path=$(command -v "$program") || fail "$program is missing although its package is installed."
    guest_copy "$1" "$path" || return
    # One that is linked statically has none.
    libraries=$({ ldd "$path" 2>/dev/null || true; } | grep -oE '/[^ ]+') || true
    # shellcheck disable=SC2086
    guest_copy "$1" $libraries || return
  done
  guest_copy "$1" "${GUEST_FILES[@]}"
}

guest_initramfs() {
  local root=$GUEST/root release source
  release=$(basename "$GUEST"/kernel/lib/modules/*)
  rm -rf "$root"
  mkdir -p "$root"/{proc,sys,dev,tmp,run,mnt,root,etc,var/lib/nfs} "$root"/usr/{bin,sbin,lib,lib64}
  for source in bin sbin lib lib64; do ln -s "usr/$source" "$root/$source"; done
  guest_programs "$root" && guest_modules "$release" "$root" || return
  ln -s dash "$root/usr/bin/sh"
  # Where the kernel looks for it.
  ln -s ../bin/busybox "$root/usr/sbin/modprobe"
  for source in agent filework; do
    gcc -O2 -Wall -Wextra -static -o "$root/usr/bin/$source" "$GUEST_SOURCES/$source.c" || return
  done
  install -m 755 "$GUEST_SOURCES/init" "$root/init"
  printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\n' >"$root/etc/passwd"
  printf 'root:x:0:\nuser:x:1000:\nteam:x:2000:user\n' >"$root/etc/group"
  # Of Debian's mount.nfs, which finds TCP there.
  cp /etc/netconfig "$root/etc/netconfig" || return
  printf 'udp 17 UDP\ntcp 6 TCP\n' >"$root/etc/protocols"
  # Not compressed: the guest, which is slow, would have to undo it.
  (cd "$root" && find . | busybox cpio -o -H newc) >"$GUEST/initramfs.new" && mv "$GUEST/initramfs.new" "$GUEST/initramfs"
}

guest_build() {
  guest_kernel && guest_initramfs && rm -rf "$GUEST/kernel" "$GUEST/root"
}

setup_guests() {
  local inputs
  # Elsewhere there are none of these; the tests say so.
  [[ $(uname -m) == x86_64 ]] || return 0
  lock
  DEBIAN_PACKAGES+=("${GUEST_PACKAGES[@]}")
  setup_packages "$@"
  inputs=$(guest_inputs)
  if [[ ! -r $GUEST_STAMP || $(<"$GUEST_STAMP") != "$inputs" ]]; then
    rm -f "$GUEST_STAMP"
    step guest 'kernel and initramfs of guests' guest_build
    printf '%s\n' "$inputs" >"$GUEST_STAMP"
  fi
  give_back
  unlock
}
