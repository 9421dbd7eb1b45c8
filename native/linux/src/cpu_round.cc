#include "cpu_round.h"

#include <cerrno>
#include <sched.h>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "system_error.h"

// 0, or an errno. The call returns on the CPU that it names: the kernel moves the thread before.
static int RunOn(int cpu) {
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(cpu, &only);
  if (::sched_setaffinity(0, sizeof only, &only) != 0)
    return errno;
  // It was taken off line meanwhile.
  return ::sched_getcpu() == cpu ? 0 : EAGAIN;
}

namespace {
class Round : public Napi::AsyncWorker {
public:
  Round(Napi::Env env, std::vector<int> cpus)
      : AsyncWorker(env), deferred_(Napi::Promise::Deferred::New(env)), cpus_(std::move(cpus)) {
  }
  Napi::Promise promise() const {
    return deferred_.Promise();
  }

private:
  void Execute() override {
    // Of its own, so that no thread of the pool is left where it went.
    try {
      std::thread([this] {
        // Before what shares a CPU fairly, for it is there for microseconds; where that is not allowed, after it.
        const sched_param least{.sched_priority = 1};
        (void)::sched_setscheduler(0, SCHED_FIFO, &least);
        for (const int cpu : cpus_)
          if ((error_ = RunOn(cpu)) != 0)
            return;
      }).join();
    } catch (const std::system_error &error) {
      error_ = error.code().value();
    }
  }
  void OnOK() override {
    if (error_ != 0)
      deferred_.Reject(MakeSystemError(Env(), error_, "sched_setaffinity").Value());
    else
      deferred_.Resolve(Env().Undefined());
  }

  Napi::Promise::Deferred deferred_;
  std::vector<int> cpus_;
  int error_ = 0;
};
} // namespace

Napi::Value CpuRound(const Napi::CallbackInfo &info) {
  std::vector<int> cpus;
  const auto wanted = info[0].As<Napi::Array>();
  for (uint32_t at = 0; at < wanted.Length(); at++)
    cpus.push_back(wanted.Get(at).As<Napi::Number>().Int32Value());
  auto *round = new Round(info.Env(), std::move(cpus)); // deletes itself when it is done
  const Napi::Promise promise = round->promise();
  round->Queue();
  return promise;
}
