// Entry point: one line for each exported call. Families of calls live in their own files.
#include "addon.h"

#include "cpu_round.h"
#include "file/file_storage.h"
#include "membarrier.h"
#include "netlink_socket.h"
#include "netns.h"
#include "notify.h"
#include "system_error.h"
#include "tun.h"

static Napi::Value ErrnoNameOf(const Napi::CallbackInfo &info) {
  return Napi::String::New(info.Env(), ErrnoName(info[0].As<Napi::Number>().Int32Value()));
}

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  auto *data = new AddonData(); // deleted with the environment
  const Napi::Function netlink_socket = NetlinkSocket::Define(env);
  data->netlink_socket = Napi::Persistent(netlink_socket);
  env.SetInstanceData(data);

  exports.Set("NetlinkSocket", netlink_socket);
  exports.Set("TunDevice", TunDevice::Define(env));
  exports.Set("RawSender", RawSender::Define(env));
  exports.Set("FileStorage", FileStorage::Define(env));
  exports.Set("fileProgramLayout", Napi::Function::New<FileProgramLayout>(env));
  exports.Set("withNetns", Napi::Function::New<WithNetns>(env));
  exports.Set("sendNotification", Napi::Function::New<SendNotification>(env));
  exports.Set("membarrierQuery", Napi::Function::New<MembarrierQuery>(env));
  exports.Set("membarrierGlobal", Napi::Function::New<MembarrierGlobal>(env));
  exports.Set("membarrierGlobalSync", Napi::Function::New<MembarrierGlobalSync>(env));
  exports.Set("cpuRound", Napi::Function::New<CpuRound>(env));
  exports.Set("errnoName", Napi::Function::New<ErrnoNameOf>(env));
  return exports;
}

NODE_API_MODULE(linux_sys, Init)
