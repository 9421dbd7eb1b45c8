#include "file_storage.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <uv.h>

#include "../system_error.h"

static constexpr uint32_t kThreadsMax = 256;
static constexpr uint32_t kSlotsMax = 16'384;

// Of all storages of the process: what is remembered about a caller is never taken for another's.
static std::atomic<uint64_t> next_serial = 1;

// File systems whose cached data and attributes the kernel answers for by itself.
static bool IsLocal(uint64_t type) {
  static constexpr uint64_t kXfs = 0x58465342;
  static constexpr uint64_t kLocal[] = {EXT4_SUPER_MAGIC, kXfs, BTRFS_SUPER_MAGIC, TMPFS_MAGIC,
                                        F2FS_SUPER_MAGIC};
  return std::find(std::begin(kLocal), std::end(kLocal), type) != std::end(kLocal);
}

// The part that outlives the JavaScript object: libuv owns the handle until its close callback.
struct FileStorage::Async {
  uv_async_t handle;
  FileStorage *owner;
  napi_async_cleanup_hook_handle hook;

  void Stop() {
    owner = nullptr;
    auto *closing = reinterpret_cast<uv_handle_t *>(&handle);
    if (uv_is_closing(closing))
      return;
    uv_close(closing, [](uv_handle_t *closed) {
      auto *async = static_cast<Async *>(closed->data);
      napi_remove_async_cleanup_hook(async->hook);
      delete async;
    });
  }
};

Napi::Function FileStorage::Define(Napi::Env env) {
  return DefineClass(env, "FileStorage",
                     {
                         InstanceMethod<&FileStorage::Memory>("memory"),
                         InstanceMethod<&FileStorage::Describe>("describe"),
                         InstanceMethod<&FileStorage::AddCredentials>("addCredentials"),
                         InstanceMethod<&FileStorage::RemoveCredentials>("removeCredentials"),
                         InstanceMethod<&FileStorage::Start>("start"),
                         InstanceMethod<&FileStorage::TryNow>("tryNow"),
                         InstanceMethod<&FileStorage::RunHere>("runHere"),
                         InstanceMethod<&FileStorage::Submit>("submit"),
                         InstanceMethod<&FileStorage::Expire>("expire"),
                         InstanceMethod<&FileStorage::State>("state"),
                         InstanceMethod<&FileStorage::Close>("close"),
                     });
}

FileStorage::FileStorage(const Napi::CallbackInfo &info) : ObjectWrap(info) {
  Napi::Env env = info.Env();
  const std::string path = info[0].As<Napi::String>();
  const uint32_t threads = info[1].As<Napi::Number>();
  const uint32_t descriptors = info[2].As<Napi::Number>();
  slots_ = info[3].As<Napi::Number>();

  // Checked in TypeScript with names; a number that got past it must not exhaust the host.
  if (threads == 0 || threads > kThreadsMax || slots_ == 0 || slots_ > kSlotsMax)
    throw MakeSystemError(env, EINVAL, "open " + path);
  UniqueFd root(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root)
    throw MakeSystemError(env, errno, "open " + path);
  struct statfs state;
  if (::fstatfs(root.get(), &state) != 0)
    throw MakeSystemError(env, errno, "fstatfs " + path);
  fs_type_ = static_cast<uint32_t>(state.f_type);
  HandleKey key;
  int mount_id = 0;
  if (file::HandleOfFd(root.get(), key, mount_id) != 0)
    throw MakeSystemError(env, errno, "name_to_handle_at " + path);

  memory_ = std::make_shared<std::vector<uint8_t>>(size_t{slots_} * file::kSlotBytes);
  data_.resize(slots_);
  busy_.resize(slots_);
  pool_ = std::make_unique<file::WorkerPool>([this] {
    // Set before the first program is taken, and cleared after the last thread is gone.
    uv_async_send(&async_->handle);
  });
  file::WorkerPool *pool = pool_.get();
  volume_ =
      std::make_unique<file::Volume>(std::move(root), mount_id, IsLocal(fs_type_), fs_type_ == TMPFS_MAGIC,
                                     descriptors, [pool](UniqueFd fd) { pool->Retire(std::move(fd)); });
  // Both must be possible here, or every request would fail.
  const int error = pool_->Start(*volume_, threads);
  if (error != 0)
    throw MakeSystemError(env, error, "start threads for " + path);
}

FileStorage::~FileStorage() {
  Shut();
}

// Its finalizer keeps the memory as long as JavaScript has it.
Napi::Value FileStorage::Memory(const Napi::CallbackInfo &info) {
  auto *kept = new std::shared_ptr<std::vector<uint8_t>>(memory_);
  return Napi::ArrayBuffer::New(
      info.Env(), memory_->data(), memory_->size(),
      [](Napi::Env, void *, std::shared_ptr<std::vector<uint8_t>> *owner) { delete owner; }, kept);
}

Napi::Value FileStorage::Describe(const Napi::CallbackInfo &info) {
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("type", Napi::Number::New(info.Env(), static_cast<double>(fs_type_)));
  result.Set("local", Napi::Boolean::New(info.Env(), volume_ && volume_->local));
  return result;
}

// addCredentials(uid, gid, groups: Uint32Array): number
Napi::Value FileStorage::AddCredentials(const Napi::CallbackInfo &info) {
  const auto groups = info[2].As<Napi::Uint32Array>();
  auto fresh = std::make_shared<Credentials>();
  fresh->serial = next_serial++;
  fresh->uid = info[0].As<Napi::Number>().Uint32Value();
  fresh->gid = info[1].As<Napi::Number>().Uint32Value();
  fresh->groups.assign(groups.Data(), groups.Data() + groups.ElementLength());
  std::sort(fresh->groups.begin(), fresh->groups.end());
  const uint32_t number = next_credentials_++;
  credentials_[number] = std::move(fresh);
  return Napi::Number::New(info.Env(), number);
}

Napi::Value FileStorage::RemoveCredentials(const Napi::CallbackInfo &info) {
  credentials_.erase(info[0].As<Napi::Number>().Uint32Value());
  return info.Env().Undefined();
}

// start(callback: (slots: Uint32Array) => void)
Napi::Value FileStorage::Start(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  if (async_ || !volume_)
    throw MakeSystemError(env, EALREADY, "start storage");
  uv_loop_t *loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok)
    throw Napi::Error::New(env);
  auto async = std::make_unique<Async>();
  async->handle.data = async.get();
  async->owner = this;
  const int initialised = uv_async_init(loop, &async->handle, [](uv_async_t *handle) {
    auto *active = static_cast<Async *>(handle->data);
    if (!active->owner)
      return;
    try {
      active->owner->OnDone();
    } catch (const Napi::Error &) {
      // Only a worker being terminated refuses what OnDone does; nobody is left to be told.
    }
  });
  if (initialised != 0)
    throw MakeSystemError(env, -initialised, "start storage");
  async_ = async.release();
  napi_add_async_cleanup_hook(
      env,
      [](napi_async_cleanup_hook_handle, void *data) {
        auto *dying = static_cast<Async *>(data);
        if (dying->owner)
          dying->owner->Shut();
        else
          dying->Stop();
      },
      async_, &async_->hook);
  // A collected object under live threads would be a use after free.
  ObjectWrap::Ref();
  callback_ = Napi::Persistent(info[0].As<Napi::Function>());
  // It keeps the process alive only while a program is under way.
  uv_unref(reinterpret_cast<uv_handle_t *>(&async_->handle));
  return env.Undefined();
}

file::Job FileStorage::JobOf(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  const uint32_t slot = info[0].As<Napi::Number>().Uint32Value();
  const auto caller = credentials_.find(info[1].As<Napi::Number>().Uint32Value());
  if (!volume_)
    throw MakeSystemError(env, EBADF, "storage is closed");
  if (slot >= slots_ || busy_[slot] || caller == credentials_.end())
    throw MakeSystemError(env, EINVAL, "run program");
  file::Job job = {slot, caller->second, memory_->data() + size_t{slot} * file::kSlotBytes, nullptr, 0};
  if (info.Length() > 2 && info[2].IsTypedArray()) {
    auto data = info[2].As<Napi::Uint8Array>();
    job.data = data.Data();
    job.data_bytes = data.ByteLength();
  }
  return job;
}

// tryNow(slot, credentials, data): whether it could be done without waiting
Napi::Value FileStorage::TryNow(const Napi::CallbackInfo &info) {
  file::Job job = JobOf(info);
  const bool done =
      volume_->local &&
      file::Execution(*volume_, nullptr, std::move(job.caller), job.slot, job.data, job.data_bytes).Run();
  return Napi::Boolean::New(info.Env(), done);
}

// runHere(slot, credentials, data): on this thread, however long it takes
Napi::Value FileStorage::RunHere(const Napi::CallbackInfo &info) {
  file::Job job = JobOf(info);
  ThreadCredentials credentials;
  file::Execution(*volume_, &credentials, std::move(job.caller), job.slot, job.data, job.data_bytes).Run();
  return info.Env().Undefined();
}

// submit(slot, credentials, data): on a thread of the storage; the callback gets the slot
Napi::Value FileStorage::Submit(const Napi::CallbackInfo &info) {
  file::Job job = JobOf(info);
  if (!async_)
    throw MakeSystemError(info.Env(), EINVAL, "submit before start");
  if (job.data != nullptr)
    data_[job.number] = Napi::Persistent(info[2].As<Napi::Object>());
  busy_[job.number] = true;
  if (in_flight_++ == 0)
    uv_ref(reinterpret_cast<uv_handle_t *>(&async_->handle));
  pool_->Submit(std::move(job));
  return info.Env().Undefined();
}

void FileStorage::OnDone() {
  Napi::Env env = Env();
  Napi::HandleScope scope(env);
  const std::vector<uint32_t> done = pool_->Collect();
  if (done.empty())
    return;
  // The callback may close the storage, and with that release the reference which keeps `this` alive.
  const Napi::Object self = Value();
  (void)self;
  Napi::Uint32Array slots = Napi::Uint32Array::New(env, done.size());
  for (size_t i = 0; i < done.size(); i++) {
    slots[i] = done[i];
    busy_[done[i]] = false;
    data_[done[i]].Reset();
  }
  in_flight_ -= done.size();
  if (in_flight_ == 0)
    uv_unref(reinterpret_cast<uv_handle_t *>(&async_->handle));
  const Napi::Function callback = callback_.Value();
  try {
    callback.MakeCallback(env.Global(), {slots});
  } catch (const Napi::Error &thrown) {
    // As for any event handler: an exception nobody catches is the process's 'uncaughtException'.
    napi_fatal_exception(env, thrown.Value());
  }
}

// expire(idleMs, writerIdleMs)
Napi::Value FileStorage::Expire(const Napi::CallbackInfo &info) {
  if (volume_)
    volume_->cache.Expire(info[0].As<Napi::Number>().Uint32Value(), info[1].As<Napi::Number>().Uint32Value());
  return info.Env().Undefined();
}

Napi::Value FileStorage::State(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  Napi::Object result = Napi::Object::New(env);
  const auto set = [&](const char *name, size_t value) {
    result.Set(name, Napi::Number::New(env, static_cast<double>(value)));
  };
  const file::WorkerPool::State state = volume_ ? pool_->state() : file::WorkerPool::State{0, 0};
  set("waiting", state.waiting);
  set("running", state.running);
  set("inFlight", in_flight_);
  set("descriptors", volume_ ? volume_->cache.descriptors() : 0);
  set("files", volume_ ? volume_->cache.files() : 0);
  set("credentials", credentials_.size());
  return result;
}

void FileStorage::Shut() {
  if (volume_) {
    pool_->Stop(); // waits: a thread may be writing into data of JavaScript
    volume_.reset();
    for (Napi::ObjectReference &data : data_)
      data.Reset();
  }
  if (!async_)
    return;
  std::exchange(async_, nullptr)->Stop();
  // The callback's closure usually holds this object: kept, the two would hold each other for ever.
  callback_.Reset();
  ObjectWrap::Unref();
}

Napi::Value FileStorage::Close(const Napi::CallbackInfo &info) {
  Shut();
  return info.Env().Undefined();
}

Napi::Value FileProgramLayout(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  Napi::Object operations = Napi::Object::New(env);
  for (const auto &[name, operation] : file::kOperationNames) {
    if (operation != file::Operation::COUNT)
      operations.Set(name, Napi::Number::New(env, static_cast<double>(operation)));
  }
  Napi::Object flags = Napi::Object::New(env);
  flags.Set("MAY_FAIL", Napi::Number::New(env, file::kMayFail));
  flags.Set("ALWAYS", Napi::Number::New(env, file::kAlways));
  flags.Set("OWNER_PASSES", Napi::Number::New(env, file::kOwnerPasses));
  flags.Set("KEEP", Napi::Number::New(env, file::kKeep));
  flags.Set("WRITES", Napi::Number::New(env, file::kWrites));
  flags.Set("PLUS", Napi::Number::New(env, file::kPlus));
  Napi::Object sizes = Napi::Object::New(env);
  sizes.Set("slotBytes", Napi::Number::New(env, file::kSlotBytes));
  sizes.Set("headerBytes", Napi::Number::New(env, file::kHeaderBytes));
  sizes.Set("instructionBytes", Napi::Number::New(env, sizeof(file::Instruction)));
  sizes.Set("instructionsMax", Napi::Number::New(env, file::kInstructionsMax));
  sizes.Set("registers", Napi::Number::New(env, file::kRegisters));
  sizes.Set("statxBytes", Napi::Number::New(env, sizeof(struct statx)));
  sizes.Set("statfsBytes", Napi::Number::New(env, sizeof(struct statfs)));
  sizes.Set("handleSpace", Napi::Number::New(env, file::kHandleSpace));
  sizes.Set("listEntryBytes", Napi::Number::New(env, sizeof(file::ListEntry)));
  Napi::Object layout = Napi::Object::New(env);
  layout.Set("operations", operations);
  layout.Set("flags", flags);
  layout.Set("sizes", sizes);
  return layout;
}
