#include "membarrier.h"

#include <cerrno>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "system_error.h"

static long Membarrier(int command) {
  return ::syscall(__NR_membarrier, command, 0, 0);
}

Napi::Value MembarrierQuery(const Napi::CallbackInfo &info) {
  const long commands = Membarrier(MEMBARRIER_CMD_QUERY);
  if (commands < 0)
    throw MakeSystemError(info.Env(), errno, "membarrier MEMBARRIER_CMD_QUERY");
  return Napi::Number::New(info.Env(), static_cast<double>(commands));
}

static constexpr const char *kGlobal = "membarrier MEMBARRIER_CMD_GLOBAL";

Napi::Value MembarrierGlobalSync(const Napi::CallbackInfo &info) {
  if (Membarrier(MEMBARRIER_CMD_GLOBAL) != 0)
    throw MakeSystemError(info.Env(), errno, kGlobal);
  return info.Env().Undefined();
}

namespace {
class Barrier : public Napi::AsyncWorker {
public:
  explicit Barrier(Napi::Env env) : AsyncWorker(env), deferred_(Napi::Promise::Deferred::New(env)) {
  }
  Napi::Promise promise() const {
    return deferred_.Promise();
  }

private:
  void Execute() override {
    if (Membarrier(MEMBARRIER_CMD_GLOBAL) != 0)
      error_ = errno;
  }
  void OnOK() override {
    if (error_ != 0)
      deferred_.Reject(MakeSystemError(Env(), error_, kGlobal).Value());
    else
      deferred_.Resolve(Env().Undefined());
  }

  Napi::Promise::Deferred deferred_;
  int error_ = 0;
};
} // namespace

Napi::Value MembarrierGlobal(const Napi::CallbackInfo &info) {
  auto *barrier = new Barrier(info.Env()); // deletes itself when it is done
  const Napi::Promise promise = barrier->promise();
  barrier->Queue();
  return promise;
}
