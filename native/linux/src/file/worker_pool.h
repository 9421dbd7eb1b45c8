// The threads of one storage. A call that hangs takes one of them, and of no other storage. Programs are taken in order;
// what is done is collected until the event loop asks.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "execution.h"

namespace file {

struct Job {
  uint32_t number; // the slot's
  std::shared_ptr<const Credentials> caller;
  uint8_t *slot;
  uint8_t *data;
  size_t data_bytes;
};

class WorkerPool {
public:
  // `notify` is called by any thread when there is something to collect.
  WorkerPool(std::function<void()> notify) : notify_(std::move(notify)) {
  }
  ~WorkerPool();
  WorkerPool(const WorkerPool &) = delete;
  WorkerPool &operator=(const WorkerPool &) = delete;

  // An errno value, and then no thread runs.
  int Start(Volume &volume, size_t threads);
  void Submit(Job job);
  // Closes it on a thread that may wait.
  void Retire(UniqueFd fd);
  // The numbers of slots whose programs are done.
  std::vector<uint32_t> Collect();
  // Waits for the programs that run; those that wait are never run.
  void Stop();

  struct State {
    size_t waiting, running;
  };
  State state();

private:
  void Work(Volume &volume);
  void Wake();

  const std::function<void()> notify_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable started_;
  std::deque<Job> jobs_;
  std::vector<UniqueFd> retired_;
  std::vector<uint32_t> done_;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  size_t waking_ = 0; // threads that were woken and have not looked yet
  size_t running_ = 0;
  size_t ready_ = 0;
  int start_error_ = 0;
  bool stopping_ = false;
};

} // namespace file
