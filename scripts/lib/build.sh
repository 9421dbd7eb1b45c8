# shellcheck shell=bash
# Owns the two things that must be compiled: the addons of native/ and the BPF objects of bpf/ and test/. Sourced after
# setup.sh. Both are compiled again only if the content of what they are made of has changed: times of files say
# nothing after a checkout.

# The stamp lies with what it describes: cmake-js deletes build/ when a compilation fails, and the stamp with it.
NATIVE_STAMP=build/Release/.holdfast-stamp

native_inputs() {
  {
    find CMakeLists.txt package-lock.json native \
      \( -name node_modules -o -name build -o -name dist \) -prune -o \
      -type f \( -name '*.cc' -o -name '*.c' -o -name '*.h' -o -name '*.cmake' -o -name CMakeLists.txt \
      -o -name package.json -o -name package-lock.json \) -print0 | sort -z | xargs -0 sha256sum
    dpkg-query -W -f '${Package} ${Version}\n' libbpf-dev g++
  } | sha256sum
}

# cmake-js brings the headers of Node-API; uv.h comes from the pinned Node.js.
native_compile() {
  local headers=(node_modules/node-linux-*/include/node)
  # In a checkout that was copied or moved CMake would go on building, without a word, where it was before.
  if [[ -r build/CMakeCache.txt ]] && ! grep -qxF "CMAKE_CACHEFILE_DIR:INTERNAL=$ROOT/build" build/CMakeCache.txt; then
    rm -rf build
  fi
  cmake-js compile --CDUV_INC="$ROOT/${headers[0]}"
}

build_native() {
  local inputs
  inputs=$(native_inputs)
  [[ -r $NATIVE_STAMP && $(<"$NATIVE_STAMP") == "$inputs" ]] && return
  rm -f "$NATIVE_STAMP"
  step native 'native addons' native_compile
  printf '%s\n' "$inputs" >"$NATIVE_STAMP"
}

# bpf_target SOURCE: where its object goes.
bpf_target() {
  local name=${1##*/}
  case $1 in
  bpf/*) echo "out/bpf/${name%.c}.o" ;;
  *) echo "out/test-bpf/${name%.c}.o" ;;
  esac
}

bpf_sources() {
  # test/native compiles its own: it tests a package that must stand alone.
  find bpf test -path test/native -prune -o -path '*bpf/*.bpf.c' -type f -print | sort
}

# The kernel fixes the parameter of a program, used or not.
bpf_flags() {
  printf '%s\n' -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter -target bpf -mcpu=v3 -Ibpf "-I/usr/include/$(uname -m)-linux-gnu"
}

# The programs were 5 to 9 % faster compiled by clang 19 than by Debian's default, which serves where 19 is missing.
bpf_compiler() {
  command -v clang-19 || command -v clang
}

# bpf_compile FLAG… SOURCE TARGET STAMP
bpf_compile() {
  local source=${*: -3:1} target=${*: -2:1} inputs=${*: -1} flags=("${@:1:$#-3}")
  "$(bpf_compiler)" "${flags[@]}" -c "$source" -o "$target.new" && mv "$target.new" "$target" && echo "$inputs" >"$target.stamp"
}

# Every object depends on every header: compiling one takes half a second, a missed dependency takes an afternoon.
build_bpf() {
  local flags sources headers source target inputs
  local -A from=()
  mkdir -p out/bpf out/test-bpf
  mapfile -t flags < <(bpf_flags)
  mapfile -t sources < <(bpf_sources)
  headers=$({
    "$(bpf_compiler)" --version
    echo "${flags[*]}"
    find bpf test -path test/native -prune -o -path '*bpf/*.h' -type f -print0 | sort -z | xargs -0r sha256sum
  } | sha256sum)
  for source in "${sources[@]}"; do
    target=$(bpf_target "$source")
    [[ -z ${from[$target]-} ]] || fail "$source and ${from[$target]} would both become $target: rename one."
    from[$target]=$source
    inputs="$headers $(sha256sum "$source")"
    if [[ -e $target && -r $target.stamp && $(<"$target.stamp") == "$inputs" ]]; then continue; fi
    step "bpf-$(basename "$source" .bpf.c)" "$source" bpf_compile "${flags[@]}" "$source" "$target" "$inputs"
  done
  # An object whose source is gone must not be loaded by mistake.
  for target in out/bpf/*.o out/test-bpf/*.o; do
    [[ -e $target && -z ${from[$target]-} ]] && rm -f "$target" "$target.stamp"
  done
  return 0
}

build_all() {
  lock
  build_native
  build_bpf
  give_back
  unlock
}
