// A storage for JavaScript: a directory, the descriptors below it, the threads that work on it, and the memory in which
// programs are handed over. Arguments come validated from TypeScript.
#pragma once

#include <memory>
#include <napi.h>
#include <unordered_map>
#include <vector>

#include "worker_pool.h"

class FileStorage : public Napi::ObjectWrap<FileStorage> {
public:
  static Napi::Function Define(Napi::Env env);

  // (path: string, threads: number, descriptors: number, slots: number)
  explicit FileStorage(const Napi::CallbackInfo &info);
  ~FileStorage() override;

private:
  struct Async;

  Napi::Value Memory(const Napi::CallbackInfo &info);
  Napi::Value Describe(const Napi::CallbackInfo &info);
  Napi::Value AddCredentials(const Napi::CallbackInfo &info);
  Napi::Value RemoveCredentials(const Napi::CallbackInfo &info);
  Napi::Value Start(const Napi::CallbackInfo &info);
  Napi::Value TryNow(const Napi::CallbackInfo &info);
  Napi::Value RunHere(const Napi::CallbackInfo &info);
  Napi::Value Submit(const Napi::CallbackInfo &info);
  Napi::Value Expire(const Napi::CallbackInfo &info);
  Napi::Value State(const Napi::CallbackInfo &info);
  Napi::Value Close(const Napi::CallbackInfo &info);

  // The arguments (slot, credentials, data) that all three ways of running have.
  file::Job JobOf(const Napi::CallbackInfo &info);
  void OnDone();
  void Shut();

  std::shared_ptr<std::vector<uint8_t>> memory_;
  uint32_t slots_ = 0;
  uint64_t fs_type_ = 0;
  std::unique_ptr<file::WorkerPool> pool_;
  std::unique_ptr<file::Volume> volume_;
  std::unordered_map<uint32_t, std::shared_ptr<const Credentials>> credentials_;
  uint32_t next_credentials_ = 1;
  // While a program runs elsewhere its data must stay where it is.
  std::vector<Napi::ObjectReference> data_;
  std::vector<bool> busy_;
  size_t in_flight_ = 0;
  Async *async_ = nullptr; // owned by the event loop until its close callback
  Napi::FunctionReference callback_;
};

// The names and numbers of instructions, and the sizes that both halves must agree about.
Napi::Value FileProgramLayout(const Napi::CallbackInfo &info);
