// A TUN device (Documentation/networking/tuntap.rst): what the host routes into it is read here, packet by packet. It goes
// when it is closed. And packets that are sent with their own IP header. Arguments come validated from TypeScript.
#pragma once

#include <napi.h>

#include "unique_fd.h"

class TunDevice : public Napi::ObjectWrap<TunDevice> {
public:
  static Napi::Function Define(Napi::Env env);

  // (name: string)
  explicit TunDevice(const Napi::CallbackInfo &info);
  ~TunDevice() override;

private:
  struct Poll;

  Napi::Value Start(const Napi::CallbackInfo &info);
  Napi::Value Close(const Napi::CallbackInfo &info);

  void OnReadable(int status);
  void Deliver(const Napi::Function &callback, Napi::Value packet, Napi::Value error);
  void StopPolling();

  UniqueFd fd_;
  Poll *poll_ = nullptr; // owned by the event loop until its close callback
  Napi::FunctionReference callback_;
};

// Sends IP packets whose header is part of what is sent (raw(7), IP_HDRINCL; IPV6_HDRINCL).
class RawSender : public Napi::ObjectWrap<RawSender> {
public:
  static Napi::Function Define(Napi::Env env);

  // (version: 4 | 6)
  explicit RawSender(const Napi::CallbackInfo &info);

private:
  Napi::Value Send(const Napi::CallbackInfo &info);
  Napi::Value Close(const Napi::CallbackInfo &info);

  UniqueFd fd_;
  int family_ = 0;
};
