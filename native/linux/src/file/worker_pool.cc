#include "worker_pool.h"

#include <cerrno>
#include <csignal>
#include <pthread.h>
#include <system_error>

namespace file {

WorkerPool::~WorkerPool() {
  Stop();
}

int WorkerPool::Start(Volume &volume, size_t threads) {
  // Signals are the main thread's; SIGXFSZ would end the process.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = 0;
  try {
    for (size_t i = 0; i < threads; i++)
      threads_.emplace_back([this, &volume] { Work(volume); });
  } catch (const std::system_error &refused) {
    error = refused.code().value();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  {
    std::unique_lock lock(mutex_);
    started_.wait(lock, [this] { return ready_ == threads_.size(); });
    if (error == 0)
      error = start_error_;
  }
  if (error != 0)
    Stop();
  return error;
}

void WorkerPool::Submit(Job job) {
  const std::lock_guard lock(mutex_);
  jobs_.push_back(std::move(job));
  Wake();
}

void WorkerPool::Retire(UniqueFd fd) {
  const std::lock_guard lock(mutex_);
  if (threads_.empty() || stopping_)
    return; // closed on return: nobody is served any more
  retired_.push_back(std::move(fd));
  Wake();
}

std::vector<uint32_t> WorkerPool::Collect() {
  std::vector<uint32_t> done;
  const std::lock_guard lock(mutex_);
  done.swap(done_);
  return done;
}

void WorkerPool::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    jobs_.clear();
    wake_.notify_all();
  }
  for (std::thread &thread : threads_)
    thread.join();
  threads_.clear();
  retired_.clear();
}

WorkerPool::State WorkerPool::state() {
  const std::lock_guard lock(mutex_);
  return {jobs_.size(), running_};
}

// One thread at a time is woken; it wakes the next if there is more than it can take. A short burst is then done by few
// threads without waiting for each other's wake-ups.
void WorkerPool::Wake() {
  if (idle_ == 0 || waking_ > 0)
    return;
  waking_++;
  wake_.notify_one();
}

void WorkerPool::Work(Volume &volume) {
  const int confined = ConfineThread();
  pthread_setname_np(pthread_self(), "file-worker");
  ThreadCredentials credentials;
  std::unique_lock lock(mutex_);
  if (confined != 0)
    start_error_ = confined;
  ready_++;
  started_.notify_all();
  while (!stopping_ && confined == 0) {
    if (!retired_.empty()) {
      std::vector<UniqueFd> closing;
      closing.swap(retired_);
      lock.unlock();
      credentials.Return();
      closing.clear();
      lock.lock();
      continue;
    }
    if (jobs_.empty()) {
      idle_++;
      wake_.wait(lock);
      idle_--;
      if (waking_ > 0)
        waking_--;
      continue;
    }
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    running_++;
    if (!jobs_.empty())
      Wake();
    lock.unlock();
    // What it opened is closed before anybody hears that it is done.
    { Execution(volume, &credentials, job.caller, job.slot, job.data, job.data_bytes).Run(); }
    lock.lock();
    running_--;
    const bool first = done_.empty();
    done_.push_back(job.number);
    const bool more = !jobs_.empty();
    lock.unlock();
    if (first)
      notify_();
    // The next program is often the same caller's, so its rights are given back only before waiting.
    if (!more)
      credentials.Return();
    lock.lock();
  }
}

} // namespace file
