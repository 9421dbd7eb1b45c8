// Owns the crossing between JavaScript values and C: byte views, errors that carry errno and libbpf's
// messages, and the ownership of file descriptors. Argument checks with names live in lib/*.ts; what is
// checked here again is only what memory safety rests on.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace libbpf_ts {

// Exactly one owner closes a descriptor.
class UniqueFd {
public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {
  }
  UniqueFd(UniqueFd &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {
  }
  UniqueFd &operator=(UniqueFd &&other) noexcept {
    if (this != &other)
      reset(std::exchange(other.fd_, -1));
    return *this;
  }
  UniqueFd(const UniqueFd &) = delete;
  UniqueFd &operator=(const UniqueFd &) = delete;
  ~UniqueFd() {
    reset();
  }

  int get() const {
    return fd_;
  }
  explicit operator bool() const {
    return fd_ >= 0;
  }
  int release() {
    return std::exchange(fd_, -1);
  }
  void reset(int fd = -1);

private:
  int fd_ = -1;
};

struct Bytes {
  uint8_t *data = nullptr;
  size_t size = 0;
};

// A view of a typed array; undefined and null give an empty view. Valid until JavaScript runs again.
Bytes BytesOf(Napi::Value value);

Napi::Uint8Array CopyBytes(Napi::Env env, const void *data, size_t size);

// Collects what libbpf prints on this thread while it lives. Without one, libbpf's messages are dropped:
// nothing of it reaches stderr.
class LogCapture {
public:
  LogCapture();
  LogCapture(const LogCapture &) = delete;
  LogCapture &operator=(const LogCapture &) = delete;
  ~LogCapture();

  static void Install();

  std::string text;

private:
  LogCapture *outer_;
};

// An Error with `errno` (positive), `stage` (which step failed) and `log` (libbpf's messages); lib/errors.ts
// turns it into a BpfError.
Napi::Error SystemError(Napi::Env env, int error, const char *stage, const std::string &log = {});

} // namespace libbpf_ts
