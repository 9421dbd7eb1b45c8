// The addon's table of functions and classes. It keeps no state of its own: every environment that loads it
// (main thread, workers) gets its own classes.
#include "convert.h"
#include "link.h"
#include "map.h"
#include "object.h"
#include "program.h"
#include "ring_buffer.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace libbpf_ts {
namespace {

// (fd) → duplicate or negative errno
Napi::Value Duplicate(const Napi::CallbackInfo &info) {
  int fd = fcntl(info[0].As<Napi::Number>().Int32Value(), F_DUPFD_CLOEXEC, 0);
  return Napi::Number::New(info.Env(), fd < 0 ? -errno : fd);
}

// (path, 'prog' | 'map' | 'link') → fd or negative errno. A pin does not say what it holds: the descriptor's
// name in /proc does (bpf-prog, bpf-map, bpf_link), and a program must not come back as a map.
Napi::Value OpenPinned(const Napi::CallbackInfo &info) {
  std::string path = info[0].As<Napi::String>().Utf8Value();
  std::string kind = info[1].As<Napi::String>().Utf8Value();
  UniqueFd fd(bpf_obj_get(path.c_str()));
  if (!fd)
    return Napi::Number::New(info.Env(), -errno);
  char target[64] = {};
  std::string entry = "/proc/self/fd/" + std::to_string(fd.get());
  if (readlink(entry.c_str(), target, sizeof(target) - 1) < 0)
    return Napi::Number::New(info.Env(), -errno);
  if (std::string(target).find(kind) == std::string::npos)
    return Napi::Number::New(info.Env(), -EMEDIUMTYPE);
  return Napi::Number::New(info.Env(), fd.release());
}

// (id) → Uint8Array of the BTF the kernel holds, or negative errno
Napi::Value BtfById(const Napi::CallbackInfo &info) {
  struct btf *btf = btf__load_from_kernel_by_id(info[0].As<Napi::Number>().Uint32Value());
  if (btf == nullptr)
    return Napi::Number::New(info.Env(), -errno);
  uint32_t size = 0;
  const void *data = btf__raw_data(btf, &size);
  Napi::Value copy = CopyBytes(info.Env(), data, data == nullptr ? 0 : size);
  btf__free(btf);
  return copy;
}

// (id, 'prog' | 'map') → fd or negative errno
Napi::Value OpenById(const Napi::CallbackInfo &info) {
  uint32_t id = info[0].As<Napi::Number>().Uint32Value();
  std::string kind = info[1].As<Napi::String>().Utf8Value();
  int fd = kind == "prog" ? bpf_prog_get_fd_by_id(id) : bpf_map_get_fd_by_id(id);
  return Napi::Number::New(info.Env(), fd);
}

Napi::Value PossibleCpus(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(), libbpf_num_possible_cpus());
}

Napi::Value LibbpfVersion(const Napi::CallbackInfo &info) {
  return Napi::String::New(info.Env(), libbpf_version_string());
}

// (program type) → 1 yes, 0 no, negative errno
Napi::Value ProbeProgramType(const Napi::CallbackInfo &info) {
  LogCapture log;
  auto type = static_cast<bpf_prog_type>(info[0].As<Napi::Number>().Uint32Value());
  return Napi::Number::New(info.Env(), libbpf_probe_bpf_prog_type(type, nullptr));
}

Napi::Value ProbeMapType(const Napi::CallbackInfo &info) {
  LogCapture log;
  auto type = static_cast<bpf_map_type>(info[0].As<Napi::Number>().Uint32Value());
  return Napi::Number::New(info.Env(), libbpf_probe_bpf_map_type(type, nullptr));
}

// (program type, helper id)
Napi::Value ProbeHelper(const Napi::CallbackInfo &info) {
  LogCapture log;
  auto type = static_cast<bpf_prog_type>(info[0].As<Napi::Number>().Uint32Value());
  auto helper = static_cast<bpf_func_id>(info[1].As<Napi::Number>().Uint32Value());
  return Napi::Number::New(info.Env(), libbpf_probe_bpf_helper(type, helper, nullptr));
}

// () → fd of an XDP program that drops everything, or negative errno. For probes that need a program.
Napi::Value LoadDrop(const Napi::CallbackInfo &info) {
  constexpr bpf_insn kReturnDrop[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = XDP_DROP},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
  };
  LogCapture log;
  int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "probe_drop", "GPL", kReturnDrop, 2, nullptr);
  return Napi::Number::New(info.Env(), fd);
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  LogCapture::Install();
  exports.Set("Object", Object::Define(env));
  exports.Set("Map", Map::Define(env));
  exports.Set("Program", Program::Define(env));
  exports.Set("Link", Link::Define(env));
  exports.Set("RingBuffer", RingBuffer::Define(env));
  exports.Set("createMap", Napi::Function::New<Map::Create>(env));
  exports.Set("attachXdp", Napi::Function::New<Link::AttachXdp>(env));
  exports.Set("queryXdp", Napi::Function::New<Link::QueryXdp>(env));
  exports.Set("duplicate", Napi::Function::New<Duplicate>(env));
  exports.Set("openPinned", Napi::Function::New<OpenPinned>(env));
  exports.Set("openById", Napi::Function::New<OpenById>(env));
  exports.Set("btfById", Napi::Function::New<BtfById>(env));
  exports.Set("possibleCpus", Napi::Function::New<PossibleCpus>(env));
  exports.Set("libbpfVersion", Napi::Function::New<LibbpfVersion>(env));
  exports.Set("loadDrop", Napi::Function::New<LoadDrop>(env));
  exports.Set("probeProgramType", Napi::Function::New<ProbeProgramType>(env));
  exports.Set("probeMapType", Napi::Function::New<ProbeMapType>(env));
  exports.Set("probeHelper", Napi::Function::New<ProbeHelper>(env));
  return exports;
}

} // namespace
} // namespace libbpf_ts

static Napi::Object InitAddon(Napi::Env env, Napi::Object exports) {
  return libbpf_ts::Init(env, exports);
}

NODE_API_MODULE(libbpf_ts, InitAddon)
