#include "notify.h"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "system_error.h"
#include "unique_fd.h"

// A service manager that does not read its socket must not stall the event loop.
static constexpr timeval kSendTimeout = {.tv_sec = 0, .tv_usec = 200'000};

Napi::Value SendNotification(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  const std::string path = info[0].As<Napi::String>();
  const std::string state = info[1].As<Napi::String>();

  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() < 2 || path.size() >= sizeof(address.sun_path))
    throw MakeSystemError(env, ENAMETOOLONG, "sd_notify " + path);
  std::memcpy(address.sun_path, path.data(), path.size());
  socklen_t length = offsetof(sockaddr_un, sun_path) + path.size();
  if (path[0] == '@')
    address.sun_path[0] = '\0'; // abstract: the name is exactly `length` long, without a terminator
  else
    length += 1;

  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd)
    throw MakeSystemError(env, errno, "socket AF_UNIX");
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kSendTimeout, sizeof(kSendTimeout)) != 0)
    throw MakeSystemError(env, errno, "setsockopt SO_SNDTIMEO");
  ssize_t sent;
  do
    sent = ::sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL,
                    reinterpret_cast<const sockaddr *>(&address), length);
  while (sent < 0 && errno == EINTR);
  if (sent < 0)
    throw MakeSystemError(env, errno, "sendto " + path);
  return env.Undefined();
}
