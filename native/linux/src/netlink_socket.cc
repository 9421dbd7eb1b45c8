#include "netlink_socket.h"

#include <cerrno>
#include <cstring>
#include <linux/sockios.h>
#include <poll.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <uv.h>

#include "addon.h"
#include "netns.h"
#include "system_error.h"

// Datagrams read in one turn of the event loop: a flood of events must not starve timers.
static constexpr int kDatagramsPerWakeup = 64;
// A larger datagram is not rtnetlink's (its dumps use 32 KiB); it counts as lost.
static constexpr size_t kDatagramLimitBytes = 4 * 1024 * 1024;

// The part that outlives the JavaScript object: libuv owns the handle until its close callback. The
// asynchronous clean-up hook makes a dying environment (a worker that ends) wait for that callback.
struct NetlinkSocket::Poll {
  uv_poll_t handle;
  NetlinkSocket *owner;
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

Napi::Function NetlinkSocket::Define(Napi::Env env) {
  return DefineClass(env, "NetlinkSocket",
                     {
                         InstanceMethod<&NetlinkSocket::Request>("request"),
                         InstanceMethod<&NetlinkSocket::Start>("start"),
                         InstanceMethod<&NetlinkSocket::Ref>("ref"),
                         InstanceMethod<&NetlinkSocket::Unref>("unref"),
                         InstanceMethod<&NetlinkSocket::Close>("close"),
                     });
}

NetlinkSocket::NetlinkSocket(const Napi::CallbackInfo &info) : ObjectWrap(info) {
  Napi::Env env = info.Env();
  const auto groups = info[2].As<Napi::Array>();
  for (uint32_t i = 0; i < groups.Length(); i++)
    groups_.push_back(groups.Get(i).As<Napi::Number>().Uint32Value());
  receive_buffer_bytes_ = info[3].As<Napi::Number>().Int32Value();
  protocol_ = info[4].As<Napi::Number>().Int32Value();

  if (info[0].IsString()) {
    const std::string path = info[0].As<Napi::String>();
    const UniqueFd target = OpenNetns(env, path);
    NetnsScope scope(env, target, path);
    fd_ = Open(env);
  } else if (info[1].IsObject()) {
    const auto object = info[1].As<Napi::Object>();
    if (!object.InstanceOf(env.GetInstanceData<AddonData>()->netlink_socket.Value()))
      throw Napi::TypeError::New(env, "sibling is not a NetlinkSocket");
    const NetlinkSocket *sibling = Unwrap(object);
    sibling->CheckOpen(env);
    const UniqueFd target(::ioctl(sibling->fd_.get(), SIOCGSKNS));
    if (!target)
      throw MakeSystemError(env, errno, "ioctl SIOCGSKNS");
    NetnsScope scope(env, target, "of the sibling");
    fd_ = Open(env);
  } else {
    fd_ = Open(env);
  }
}

NetlinkSocket::~NetlinkSocket() {
  if (poll_)
    poll_->Stop();
}

UniqueFd NetlinkSocket::Open(Napi::Env env) const {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol_));
  if (!fd)
    throw MakeSystemError(env, errno, "socket AF_NETLINK");
  if (receive_buffer_bytes_ > 0) {
    // The forced form passes net.core.rmem_max but needs CAP_NET_ADMIN.
    const int size = receive_buffer_bytes_;
    if (::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0 &&
        ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) != 0)
      throw MakeSystemError(env, errno, "setsockopt SO_RCVBUF");
  }
  const int on = 1;
  for (int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK})
    if (::setsockopt(fd.get(), SOL_NETLINK, option, &on, sizeof(on)) != 0)
      throw MakeSystemError(env, errno, "setsockopt SOL_NETLINK " + std::to_string(option));
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof(address)) != 0)
    throw MakeSystemError(env, errno, "bind AF_NETLINK");
  for (const uint32_t group : groups_)
    if (::setsockopt(fd.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0)
      throw MakeSystemError(env, errno, "join netlink group " + std::to_string(group));
  return fd;
}

UniqueFd NetlinkSocket::OpenSibling(Napi::Env env) const {
  const UniqueFd target(::ioctl(fd_.get(), SIOCGSKNS));
  if (!target)
    throw MakeSystemError(env, errno, "ioctl SIOCGSKNS");
  NetnsScope scope(env, target, "of the socket");
  return Open(env);
}

void NetlinkSocket::CheckOpen(Napi::Env env) const {
  if (fd_)
    return;
  Napi::Error error = Napi::Error::New(env, "the netlink socket is closed");
  error.Set("code", Napi::String::New(env, "ERR_CLOSED"));
  throw error;
}

// request(message: Uint8Array, timeoutMs: number, replyLimitBytes: number): Uint8Array
Napi::Value NetlinkSocket::Request(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  CheckOpen(env);
  const auto bytes = info[0].As<Napi::Uint8Array>();
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(info[1].As<Napi::Number>().Int64Value());
  const auto limit_bytes = static_cast<size_t>(info[2].As<Napi::Number>().Int64Value());
  if (bytes.ByteLength() < sizeof(nlmsghdr))
    throw MakeSystemError(env, EINVAL, "netlink request");

  // Zero is the sequence number of what nobody asked for.
  sequence_ = sequence_ == UINT32_MAX ? 1 : sequence_ + 1;
  Send(env, std::vector<uint8_t>(bytes.Data(), bytes.Data() + bytes.ByteLength()), sequence_);
  std::vector<uint8_t> reply;
  try {
    reply = Collect(env, sequence_, deadline, limit_bytes);
  } catch (const Napi::Error &) {
    Resynchronize(env);
    throw;
  }
  Napi::Uint8Array result = Napi::Uint8Array::New(env, reply.size());
  if (!reply.empty())
    std::memcpy(result.Data(), reply.data(), reply.size());
  return result;
}

void NetlinkSocket::Send(Napi::Env env, std::vector<uint8_t> message, uint32_t sequence) {
  std::memcpy(message.data() + offsetof(nlmsghdr, nlmsg_seq), &sequence, sizeof(sequence));
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  ssize_t sent;
  do
    sent = ::sendto(fd_.get(), message.data(), message.size(), 0, reinterpret_cast<const sockaddr *>(&kernel),
                    sizeof(kernel));
  while (sent < 0 && errno == EINTR);
  if (sent < 0)
    throw MakeSystemError(env, errno, "send netlink request");
}

// One datagram of the kernel into `datagram`: 0, or an errno value. Other processes may send to any netlink
// port; what they sent is dropped and leaves `datagram` empty.
static int Receive(int fd, std::vector<uint8_t> &datagram) {
  sockaddr_nl from = {};
  socklen_t from_length = sizeof(from);
  ssize_t size;
  do
    size = ::recv(fd, nullptr, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
  while (size < 0 && errno == EINTR);
  if (size < 0)
    return errno;
  if (static_cast<size_t>(size) > kDatagramLimitBytes) {
    (void)::recv(fd, nullptr, 0, MSG_DONTWAIT);
    return ENOBUFS;
  }
  datagram.resize(size);
  do
    size = ::recvfrom(fd, datagram.data(), datagram.size(), MSG_DONTWAIT, reinterpret_cast<sockaddr *>(&from),
                      &from_length);
  while (size < 0 && errno == EINTR);
  if (size < 0)
    return errno;
  datagram.resize(from_length == sizeof(from) && from.nl_pid == 0 ? size : 0);
  return 0;
}

std::vector<uint8_t> NetlinkSocket::Collect(Napi::Env env, uint32_t sequence, Deadline deadline,
                                            size_t limit_bytes) {
  std::vector<uint8_t> reply;
  std::vector<uint8_t> datagram;
  for (;;) {
    const int error = Receive(fd_.get(), datagram);
    if (error == 0) {
      if (Append(env, datagram, sequence, limit_bytes, reply) == Reading::kComplete)
        return reply;
    } else if (error != EAGAIN) {
      throw MakeSystemError(env, error, "receive netlink reply");
    }
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0)
      throw MakeSystemError(env, ETIMEDOUT, "receive netlink reply");
    pollfd readable = {.fd = fd_.get(), .events = POLLIN, .revents = 0};
    if (error == EAGAIN)
      (void)::poll(&readable, 1, static_cast<int>(left.count()));
  }
}

// Keeps the messages that answer `sequence`, drops the rest (late answers to a request that timed out).
NetlinkSocket::Reading NetlinkSocket::Append(Napi::Env env, const std::vector<uint8_t> &datagram,
                                             uint32_t sequence, size_t limit_bytes,
                                             std::vector<uint8_t> &reply) {
  size_t offset = 0;
  while (datagram.size() - offset >= sizeof(nlmsghdr)) {
    nlmsghdr header;
    std::memcpy(&header, datagram.data() + offset, sizeof(header));
    if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > datagram.size() - offset)
      throw MakeSystemError(env, EBADMSG, "receive netlink reply");
    if (header.nlmsg_seq == sequence) {
      if (reply.size() + NLMSG_ALIGN(header.nlmsg_len) > limit_bytes)
        throw MakeSystemError(env, EMSGSIZE, "receive netlink reply");
      const uint8_t *start = datagram.data() + offset;
      reply.insert(reply.end(), start, start + header.nlmsg_len);
      reply.resize(NLMSG_ALIGN(reply.size()));
      if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR)
        return Reading::kComplete;
    }
    offset += NLMSG_ALIGN(header.nlmsg_len);
    if (offset >= datagram.size())
      break;
  }
  return Reading::kMore;
}

// A dump that was not read to its end keeps the kernel's side of the socket busy (EBUSY), so a failed
// exchange costs the socket. Where no new one can be opened the object becomes closed.
void NetlinkSocket::Resynchronize(Napi::Env env) {
  try {
    fd_ = OpenSibling(env);
  } catch (const Napi::Error &) {
    fd_.reset();
  }
}

// start(callback: (kind: 'message' | 'overrun' | 'error', value: Uint8Array | number | undefined) => void)
Napi::Value NetlinkSocket::Start(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  CheckOpen(env);
  if (poll_)
    throw MakeSystemError(env, EALREADY, "poll netlink socket");
  const auto callback = info[0].As<Napi::Function>();
  uv_loop_t *loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok)
    throw Napi::Error::New(env);

  auto poll = std::make_unique<Poll>();
  poll->handle.data = poll.get();
  poll->owner = this;
  int status = uv_poll_init(loop, &poll->handle, fd_.get());
  if (status != 0)
    throw MakeSystemError(env, -status, "poll netlink socket");
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
  // Started sockets live until they are closed: a collected object under a live poll would be a use after
  // free.
  ObjectWrap::Ref();
  callback_ = Napi::Persistent(callback);
  if (!referenced_)
    uv_unref(reinterpret_cast<uv_handle_t *>(&poll_->handle));
  status = Arm();
  if (status != 0) {
    StopPolling();
    throw MakeSystemError(env, -status, "poll netlink socket");
  }
  return env.Undefined();
}

int NetlinkSocket::Arm() {
  return uv_poll_start(&poll_->handle, UV_READABLE, [](uv_poll_t *handle, int status, int) {
    auto *active = static_cast<Poll *>(handle->data);
    if (!active->owner)
      return;
    try {
      active->owner->OnReadable(status);
    } catch (const Napi::Error &) {
      // Only a worker being terminated refuses what OnReadable does; nobody is left to be told.
    }
  });
}

void NetlinkSocket::OnReadable(int status) {
  Napi::Env env = Env();
  Napi::HandleScope scope(env);
  // The callback may close the socket, and with that release the reference which keeps `this` alive.
  const Napi::Object self = Value();
  (void)self;
  const Napi::Function callback = callback_.Value();
  // An overrun raises POLLERR, on which libuv stops and reports EBADF whatever the cause. Receiving tells the
  // cause.
  if (status < 0 && Arm() != 0) {
    StopPolling();
    Deliver(callback, "error", Napi::Number::New(env, -status));
    return;
  }
  std::vector<uint8_t> datagram;
  for (int i = 0; i < kDatagramsPerWakeup && poll_; i++) {
    Napi::HandleScope turn(env);
    const int error = Receive(fd_.get(), datagram);
    if (error == EAGAIN)
      return;
    if (error == ENOBUFS) {
      Deliver(callback, "overrun", env.Undefined());
    } else if (error != 0) {
      StopPolling();
      Deliver(callback, "error", Napi::Number::New(env, error));
      return;
    } else if (!datagram.empty()) {
      Napi::Uint8Array bytes = Napi::Uint8Array::New(env, datagram.size());
      std::memcpy(bytes.Data(), datagram.data(), datagram.size());
      Deliver(callback, "message", bytes);
    }
  }
}

void NetlinkSocket::Deliver(const Napi::Function &callback, const char *kind, Napi::Value value) {
  Napi::Env env = Env();
  try {
    callback.MakeCallback(env.Global(), {Napi::String::New(env, kind), value});
  } catch (const Napi::Error &error) {
    // As for any event handler: an exception nobody catches is the process's 'uncaughtException'.
    napi_fatal_exception(env, error.Value());
  }
}

void NetlinkSocket::StopPolling() {
  if (!poll_)
    return;
  std::exchange(poll_, nullptr)->Stop();
  // The callback's closure usually holds this object: kept, the two would hold each other for ever.
  callback_.Reset();
  ObjectWrap::Unref();
}

Napi::Value NetlinkSocket::Ref(const Napi::CallbackInfo &info) {
  referenced_ = true;
  if (poll_)
    uv_ref(reinterpret_cast<uv_handle_t *>(&poll_->handle));
  return info.Env().Undefined();
}

Napi::Value NetlinkSocket::Unref(const Napi::CallbackInfo &info) {
  referenced_ = false;
  if (poll_)
    uv_unref(reinterpret_cast<uv_handle_t *>(&poll_->handle));
  return info.Env().Undefined();
}

Napi::Value NetlinkSocket::Close(const Napi::CallbackInfo &info) {
  StopPolling(); // before the descriptor: libuv must not poll a number that may be reused
  fd_.reset();
  return info.Env().Undefined();
}
