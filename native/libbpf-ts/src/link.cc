#include "link.h"
#include "netns.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>

#include <cerrno>
#include <string>

namespace libbpf_ts {
namespace {

// Removes a program that was attached over netlink, in the mode it is attached in. A program held by a link
// cannot be removed this way: the kernel answers EBUSY when the new link is made, and the caller hears that.
void DetachNetlinkProgram(unsigned int ifindex) {
  LIBBPF_OPTS(bpf_xdp_query_opts, attached);
  if (bpf_xdp_query(static_cast<int>(ifindex), 0, &attached) != 0)
    return;
  if (attached.drv_prog_id != 0)
    bpf_xdp_detach(static_cast<int>(ifindex), XDP_FLAGS_DRV_MODE, nullptr);
  if (attached.skb_prog_id != 0)
    bpf_xdp_detach(static_cast<int>(ifindex), XDP_FLAGS_SKB_MODE, nullptr);
  if (attached.hw_prog_id != 0)
    bpf_xdp_detach(static_cast<int>(ifindex), XDP_FLAGS_HW_MODE, nullptr);
}

} // namespace

Napi::Function Link::Define(Napi::Env env) {
  return DefineClass(env, "NativeLink",
                     {
                         InstanceMethod<&Link::Close>("close"),
                         InstanceMethod<&Link::Fd>("fd"),
                         InstanceMethod<&Link::Info>("info"),
                         InstanceMethod<&Link::Update>("update"),
                         InstanceMethod<&Link::Detach>("detach"),
                         InstanceMethod<&Link::Pin>("pin"),
                     });
}

// (fd: number): takes the descriptor over.
Link::Link(const Napi::CallbackInfo &info) : ObjectWrap(info), fd_(info[0].As<Napi::Number>().Int32Value()) {
}

Napi::Value Link::AttachXdp(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  int program_fd = info[0].As<Napi::Number>().Int32Value();
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = info[2].As<Napi::Number>().Uint32Value());
  std::string netns = info[3].As<Napi::String>().Utf8Value();
  bool replace = info[4].As<Napi::Boolean>().Value();
  LogCapture log;
  NetnsVisit visit(env, netns);
  unsigned int ifindex = InterfaceIndex(env, info[1]);
  if (replace)
    DetachNetlinkProgram(ifindex);
  int fd = bpf_link_create(program_fd, static_cast<int>(ifindex), BPF_XDP, &options);
  if (fd < 0)
    throw SystemError(env, -fd, "create the link", log.text);
  return Napi::Number::New(env, fd);
}

Napi::Value Link::QueryXdp(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  std::string netns = info[1].As<Napi::String>().Utf8Value();
  LIBBPF_OPTS(bpf_xdp_query_opts, attached);
  LogCapture log;
  {
    NetnsVisit visit(env, netns);
    int status = bpf_xdp_query(static_cast<int>(InterfaceIndex(env, info[0])), 0, &attached);
    if (status != 0)
      throw SystemError(env, -status, "ask the interface", log.text);
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("mode", Napi::Number::New(env, attached.attach_mode));
  result.Set("programId", Napi::Number::New(env, attached.prog_id));
  result.Set("nativeId", Napi::Number::New(env, attached.drv_prog_id));
  result.Set("genericId", Napi::Number::New(env, attached.skb_prog_id));
  result.Set("offloadId", Napi::Number::New(env, attached.hw_prog_id));
  return result;
}

Napi::Value Link::Close(const Napi::CallbackInfo &info) {
  fd_.reset();
  return info.Env().Undefined();
}

Napi::Value Link::Fd(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(), fd_.get());
}

Napi::Value Link::Info(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  bpf_link_info kernel = {};
  uint32_t length = sizeof(kernel);
  if (bpf_obj_get_info_by_fd(fd_.get(), &kernel, &length) != 0)
    throw SystemError(env, errno, "read the link's information");
  Napi::Object result = Napi::Object::New(env);
  result.Set("id", Napi::Number::New(env, kernel.id));
  result.Set("type", Napi::Number::New(env, kernel.type));
  result.Set("programId", Napi::Number::New(env, kernel.prog_id));
  result.Set("ifindex", Napi::Number::New(env, kernel.type == BPF_LINK_TYPE_XDP ? kernel.xdp.ifindex : 0));
  return result;
}

// (programFd, expectedFd | undefined)
Napi::Value Link::Update(const Napi::CallbackInfo &info) {
  LIBBPF_OPTS(bpf_link_update_opts, options);
  if (!info[1].IsUndefined()) {
    options.flags = BPF_F_REPLACE;
    options.old_prog_fd = info[1].As<Napi::Number>().Uint32Value();
  }
  int status = bpf_link_update(fd_.get(), info[0].As<Napi::Number>().Int32Value(), &options);
  return Napi::Number::New(info.Env(), status);
}

Napi::Value Link::Detach(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(), bpf_link_detach(fd_.get()));
}

Napi::Value Link::Pin(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(),
                           bpf_obj_pin(fd_.get(), info[0].As<Napi::String>().Utf8Value().c_str()));
}

} // namespace libbpf_ts
