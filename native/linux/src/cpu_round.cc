#include "cpu_round.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <sched.h>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "system_error.h"

// Whoever waits for longer, on a thread of the pool, is told ETIMEDOUT. The round's own thread stays where it is stuck.
static constexpr std::chrono::seconds kRoundMax{1};
// Of such threads, and of those on their way.
static constexpr int kThreadsMax = 32;
static std::atomic<int> threads{0};

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

static int RunOnEach(const std::vector<int> &cpus) {
  // Before what shares a CPU fairly, for it is there for microseconds; where that is not allowed, among it.
  const sched_param least{.sched_priority = 1};
  (void)::sched_setscheduler(0, SCHED_FIFO, &least);
  for (const int cpu : cpus)
    if (const int error = RunOn(cpu); error != 0)
      return error;
  return 0;
}

namespace {
// Shared by the round's thread and who waits for it: either may be gone first.
struct Outcome {
  std::mutex mutex;
  std::condition_variable changed;
  bool is_over = false;
  int error = 0;
};

// A thread of its own, so that none of the pool is left where it went.
int GoRound(std::vector<int> cpus) {
  if (threads.fetch_add(1) >= kThreadsMax) {
    threads.fetch_sub(1);
    return EBUSY;
  }
  const auto outcome = std::make_shared<Outcome>();
  try {
    std::thread([outcome, cpus = std::move(cpus)] {
      const int error = RunOnEach(cpus);
      threads.fetch_sub(1);
      const std::lock_guard lock(outcome->mutex);
      outcome->error = error;
      outcome->is_over = true;
      outcome->changed.notify_one();
    }).detach();
  } catch (const std::system_error &error) {
    threads.fetch_sub(1);
    return error.code().value();
  }
  std::unique_lock lock(outcome->mutex);
  const bool is_over = outcome->changed.wait_for(lock, kRoundMax, [&] { return outcome->is_over; });
  return is_over ? outcome->error : ETIMEDOUT;
}

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
    error_ = GoRound(std::move(cpus_));
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
