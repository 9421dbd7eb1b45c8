// One netlink socket, used either for requests (no multicast group) or for events (some groups), never
// for both: replies and events would mix. It knows message headers, not their contents; arguments come
// validated from TypeScript.
#pragma once

#include <chrono>
#include <cstdint>
#include <linux/netlink.h>
#include <napi.h>
#include <vector>

#include "unique_fd.h"

class NetlinkSocket : public Napi::ObjectWrap<NetlinkSocket> {
public:
  static Napi::Function Define(Napi::Env env);

  // (netnsPath: string | undefined, sibling: NetlinkSocket | undefined, groups: number[], receiveBufferBytes:
  // number, protocol: number) A sibling's namespace is used even where its path is gone or names another by now.
  explicit NetlinkSocket(const Napi::CallbackInfo &info);
  ~NetlinkSocket() override;

private:
  struct Poll;

  Napi::Value Request(const Napi::CallbackInfo &info);
  Napi::Value Start(const Napi::CallbackInfo &info);
  Napi::Value Ref(const Napi::CallbackInfo &info);
  Napi::Value Unref(const Napi::CallbackInfo &info);
  Napi::Value Close(const Napi::CallbackInfo &info);

  enum class Reading { kMore, kComplete };
  using Deadline = std::chrono::steady_clock::time_point;

  UniqueFd Open(Napi::Env env) const;
  UniqueFd OpenSibling(Napi::Env env) const;
  void CheckOpen(Napi::Env env) const;
  void Send(Napi::Env env, std::vector<uint8_t> message, uint32_t sequence);
  std::vector<uint8_t> Collect(Napi::Env env, uint32_t sequence, Deadline deadline, size_t limit_bytes);
  Reading Append(Napi::Env env, const std::vector<uint8_t> &datagram, uint32_t sequence, size_t limit_bytes,
                 std::vector<uint8_t> &reply);
  void Resynchronize(Napi::Env env);
  int Arm();
  void OnReadable(int status);
  void Deliver(const Napi::Function &callback, const char *kind, Napi::Value value);
  void StopPolling();

  UniqueFd fd_;
  std::vector<uint32_t> groups_;
  int receive_buffer_bytes_ = 0;
  int protocol_ = NETLINK_ROUTE;
  uint32_t sequence_ = 0;
  bool referenced_ = true;
  Poll *poll_ = nullptr; // owned by the event loop until its close callback
  Napi::FunctionReference callback_;
};
