#include "tun.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <memory>
#include <netinet/in.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <uv.h>
#include <vector>

#include "addon.h"
#include "system_error.h"

// linux/in6.h, which does not go together with netinet/in.h.
static constexpr int kIpv6HeaderIncluded = 36;
// Read in one turn of the event loop: a flood must not starve timers.
static constexpr int kPacketsPerWakeup = 64;
// No packet is longer.
static constexpr size_t kPacketLimitBytes = 65535;

// The part that outlives the JavaScript object: libuv owns the handle until its close callback.
struct TunDevice::Poll {
  uv_poll_t handle;
  TunDevice *owner;
  napi_async_cleanup_hook_handle hook;

  void Stop() {
    owner = nullptr;
    auto *handle_to_close = reinterpret_cast<uv_handle_t *>(&handle);
    if (uv_is_closing(handle_to_close))
      return;
    uv_close(handle_to_close, [](uv_handle_t *closed) {
      auto *poll = static_cast<Poll *>(closed->data);
      napi_remove_async_cleanup_hook(poll->hook);
      delete poll;
    });
  }
};

static Napi::Error Closed(Napi::Env env) {
  Napi::Error error = Napi::Error::New(env, "it is closed");
  error.Set("code", Napi::String::New(env, "ERR_CLOSED"));
  return error;
}

Napi::Function TunDevice::Define(Napi::Env env) {
  return DefineClass(env, "TunDevice",
                     {
                         InstanceMethod<&TunDevice::Start>("start"),
                         InstanceMethod<&TunDevice::Close>("close"),
                     });
}

TunDevice::TunDevice(const Napi::CallbackInfo &info) : ObjectWrap(info) {
  Napi::Env env = info.Env();
  const std::string name = info[0].As<Napi::String>();
  UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd)
    throw MakeSystemError(env, errno, "open /dev/net/tun");
  ifreq request = {};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (name.size() >= sizeof(request.ifr_name))
    throw MakeSystemError(env, ENAMETOOLONG, "TUNSETIFF");
  std::memcpy(request.ifr_name, name.data(), name.size());
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0)
    throw MakeSystemError(env, errno, "TUNSETIFF");
  fd_ = std::move(fd);
}

TunDevice::~TunDevice() {
  if (poll_)
    poll_->Stop();
}

// start(callback: (packet: Uint8Array | undefined, errno: number | undefined) => void)
Napi::Value TunDevice::Start(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  if (!fd_)
    throw Closed(env);
  if (poll_)
    throw MakeSystemError(env, EALREADY, "poll TUN device");
  uv_loop_t *loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok)
    throw Napi::Error::New(env);
  auto poll = std::make_unique<Poll>();
  poll->handle.data = poll.get();
  poll->owner = this;
  const int initialised = uv_poll_init(loop, &poll->handle, fd_.get());
  if (initialised != 0)
    throw MakeSystemError(env, -initialised, "poll TUN device");
  poll_ = poll.release();
  napi_add_async_cleanup_hook(
      env,
      [](napi_async_cleanup_hook_handle, void *data) {
        auto *dying = static_cast<Poll *>(data);
        if (dying->owner)
          dying->owner->poll_ = nullptr;
        dying->Stop();
      },
      poll_, &poll_->hook);
  // A collected object under a live poll would be a use after free.
  ObjectWrap::Ref();
  callback_ = Napi::Persistent(info[0].As<Napi::Function>());
  // It alone keeps no process alive.
  uv_unref(reinterpret_cast<uv_handle_t *>(&poll_->handle));
  const int started = uv_poll_start(&poll_->handle, UV_READABLE, [](uv_poll_t *handle, int status, int) {
    auto *active = static_cast<Poll *>(handle->data);
    if (!active->owner)
      return;
    try {
      active->owner->OnReadable(status);
    } catch (const Napi::Error &) {
      // Only a worker being terminated refuses what OnReadable does; nobody is left to be told.
    }
  });
  if (started != 0) {
    StopPolling();
    throw MakeSystemError(env, -started, "poll TUN device");
  }
  return env.Undefined();
}

void TunDevice::OnReadable(int status) {
  Napi::Env env = Env();
  Napi::HandleScope scope(env);
  // The callback may close the device, and with that release the reference which keeps `this` alive.
  const Napi::Object self = Value();
  (void)self;
  const Napi::Function callback = callback_.Value();
  std::vector<uint8_t> packet(kPacketLimitBytes);
  for (int i = 0; i < kPacketsPerWakeup && poll_; i++) {
    Napi::HandleScope turn(env);
    ssize_t size;
    do
      size = ::read(fd_.get(), packet.data(), packet.size());
    while (size < 0 && errno == EINTR);
    if (size < 0 && errno == EAGAIN && status >= 0)
      return;
    if (size < 0 || status < 0) {
      // EBADFD: somebody has deleted the device.
      const int error = size < 0 ? errno : -status;
      StopPolling();
      Deliver(callback, env.Undefined(), Napi::Number::New(env, error));
      return;
    }
    Napi::Uint8Array bytes = Napi::Uint8Array::New(env, size);
    std::memcpy(bytes.Data(), packet.data(), size);
    Deliver(callback, bytes, env.Undefined());
  }
}

void TunDevice::Deliver(const Napi::Function &callback, Napi::Value packet, Napi::Value error) {
  Napi::Env env = Env();
  try {
    callback.MakeCallback(env.Global(), {packet, error});
  } catch (const Napi::Error &thrown) {
    // As for any event handler: an exception nobody catches is the process's 'uncaughtException'.
    napi_fatal_exception(env, thrown.Value());
  }
}

void TunDevice::StopPolling() {
  if (!poll_)
    return;
  std::exchange(poll_, nullptr)->Stop();
  // The callback's closure usually holds this object: kept, the two would hold each other for ever.
  callback_.Reset();
  ObjectWrap::Unref();
}

Napi::Value TunDevice::Close(const Napi::CallbackInfo &info) {
  StopPolling(); // before the descriptor: libuv must not poll a number that may be reused
  fd_.reset();
  return info.Env().Undefined();
}

Napi::Function RawSender::Define(Napi::Env env) {
  return DefineClass(env, "RawSender",
                     {
                         InstanceMethod<&RawSender::Send>("send"),
                         InstanceMethod<&RawSender::Close>("close"),
                     });
}

RawSender::RawSender(const Napi::CallbackInfo &info) : ObjectWrap(info) {
  Napi::Env env = info.Env();
  const bool is4 = info[0].As<Napi::Number>().Int32Value() == 4;
  family_ = is4 ? AF_INET : AF_INET6;
  // IPPROTO_RAW receives nothing.
  UniqueFd fd(::socket(family_, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW));
  if (!fd)
    throw MakeSystemError(env, errno, "socket SOCK_RAW");
  const int on = 1;
  const int done = is4 ? ::setsockopt(fd.get(), IPPROTO_IP, IP_HDRINCL, &on, sizeof(on))
                       : ::setsockopt(fd.get(), IPPROTO_IPV6, kIpv6HeaderIncluded, &on, sizeof(on));
  if (done != 0)
    throw MakeSystemError(env, errno, "setsockopt HDRINCL");
  fd_ = std::move(fd);
}

// send(packet: Uint8Array, destination: Uint8Array): number, 0 or an errno value
Napi::Value RawSender::Send(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  if (!fd_)
    throw Closed(env);
  const auto packet = info[0].As<Napi::Uint8Array>();
  const auto destination = info[1].As<Napi::Uint8Array>();
  sockaddr_in to4 = {};
  sockaddr_in6 to6 = {};
  to4.sin_family = AF_INET;
  to6.sin6_family = AF_INET6;
  void *place = family_ == AF_INET ? static_cast<void *>(&to4.sin_addr) : static_cast<void *>(&to6.sin6_addr);
  const size_t address_bytes = family_ == AF_INET ? sizeof(to4.sin_addr) : sizeof(to6.sin6_addr);
  if (destination.ByteLength() != address_bytes)
    throw MakeSystemError(env, EINVAL, "send");
  std::memcpy(place, destination.Data(), address_bytes);
  const auto *to = family_ == AF_INET ? reinterpret_cast<const sockaddr *>(&to4)
                                      : reinterpret_cast<const sockaddr *>(&to6);
  const socklen_t to_bytes = family_ == AF_INET ? sizeof(to4) : sizeof(to6);
  ssize_t sent;
  do
    sent = ::sendto(fd_.get(), packet.Data(), packet.ByteLength(), MSG_DONTWAIT, to, to_bytes);
  while (sent < 0 && errno == EINTR);
  return Napi::Number::New(env, sent < 0 ? errno : 0);
}

Napi::Value RawSender::Close(const Napi::CallbackInfo &info) {
  fd_.reset();
  return info.Env().Undefined();
}
