#include "program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <pthread.h>
#include <signal.h>

#include <cerrno>
#include <string>
#include <vector>

namespace libbpf_ts {
namespace {

// The kernel gives a run up with EINTR, some of its repetitions done, when something waits for the thread: a
// signal, or work that the kernel itself queued for it (io_uring does). Signals are kept out, since no
// JavaScript could act on one meanwhile and a profiler would end every long run; queued work is done on the
// way back to user space, after which the run starts again.
constexpr int kMaxInterruptions = 16;

class SignalPause {
public:
  SignalPause() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalPause(const SignalPause &) = delete;
  SignalPause &operator=(const SignalPause &) = delete;
  ~SignalPause() {
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

private:
  sigset_t before_;
};

} // namespace

Napi::Function Program::Define(Napi::Env env) {
  return DefineClass(env, "NativeProgram",
                     {
                         InstanceMethod<&Program::Close>("close"),
                         InstanceMethod<&Program::Fd>("fd"),
                         InstanceMethod<&Program::Info>("info"),
                         InstanceMethod<&Program::Pin>("pin"),
                         InstanceMethod<&Program::TestRun>("testRun"),
                     });
}

// (fd: number): takes the descriptor over.
Program::Program(const Napi::CallbackInfo &info)
    : ObjectWrap(info), fd_(info[0].As<Napi::Number>().Int32Value()) {
}

Napi::Value Program::Close(const Napi::CallbackInfo &info) {
  fd_.reset();
  return info.Env().Undefined();
}

Napi::Value Program::Fd(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(), fd_.get());
}

Napi::Value Program::Info(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  bpf_prog_info kernel = {};
  uint32_t length = sizeof(kernel);
  if (bpf_obj_get_info_by_fd(fd_.get(), &kernel, &length) != 0)
    throw SystemError(env, errno, "read the program's information");
  // The second call asks for the map ids alone: any other count left over from the first would need a buffer
  // too.
  std::vector<uint32_t> map_ids(kernel.nr_map_ids);
  if (!map_ids.empty()) {
    bpf_prog_info again = {};
    length = sizeof(again);
    again.nr_map_ids = static_cast<uint32_t>(map_ids.size());
    again.map_ids = reinterpret_cast<uintptr_t>(map_ids.data());
    if (bpf_obj_get_info_by_fd(fd_.get(), &again, &length) != 0)
      throw SystemError(env, errno, "read the program's maps");
  }

  Napi::Object result = Napi::Object::New(env);
  result.Set("id", Napi::Number::New(env, kernel.id));
  result.Set("type", Napi::Number::New(env, kernel.type));
  result.Set("name", Napi::String::New(env, kernel.name));
  result.Set("tag", CopyBytes(env, kernel.tag, sizeof(kernel.tag)));
  result.Set("loadTimeNs", Napi::BigInt::New(env, static_cast<uint64_t>(kernel.load_time)));
  result.Set("createdByUid", Napi::Number::New(env, kernel.created_by_uid));
  result.Set("xlatedSizeBytes", Napi::Number::New(env, kernel.xlated_prog_len));
  result.Set("jitedSizeBytes", Napi::Number::New(env, kernel.jited_prog_len));
  result.Set("gplCompatible", Napi::Boolean::New(env, kernel.gpl_compatible));
  result.Set("ifindex", Napi::Number::New(env, kernel.ifindex));
  result.Set("btfId", Napi::Number::New(env, kernel.btf_id));
  result.Set("runTimeNs", Napi::BigInt::New(env, static_cast<uint64_t>(kernel.run_time_ns)));
  result.Set("runCount", Napi::BigInt::New(env, static_cast<uint64_t>(kernel.run_cnt)));
  result.Set("recursionMisses", Napi::BigInt::New(env, static_cast<uint64_t>(kernel.recursion_misses)));
  result.Set("verifiedInstructions", Napi::Number::New(env, kernel.verified_insns));
  Napi::Array ids = Napi::Array::New(env, map_ids.size());
  for (size_t index = 0; index < map_ids.size(); index++)
    ids.Set(static_cast<uint32_t>(index), Napi::Number::New(env, map_ids[index]));
  result.Set("mapIds", ids);
  return result;
}

Napi::Value Program::Pin(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(),
                           bpf_obj_pin(fd_.get(), info[0].As<Napi::String>().Utf8Value().c_str()));
}

// (data, dataOut, ctx, ctxOut, repeat, flags, cpu, batchSize, result), the byte views undefined where unused.
// Writes retval, durationNs, dataOutSize and ctxOutSize to the words of `result`: an object would cost as much as
// the run. → status
Napi::Value Program::TestRun(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  Bytes data = BytesOf(info[0]);
  Bytes data_out = BytesOf(info[1]);
  Bytes ctx = BytesOf(info[2]);
  Bytes ctx_out = BytesOf(info[3]);
  LIBBPF_OPTS(bpf_test_run_opts, options);
  options.data_in = data.data;
  options.data_size_in = static_cast<uint32_t>(data.size);
  options.data_out = data_out.data;
  options.data_size_out = static_cast<uint32_t>(data_out.size);
  options.ctx_in = ctx.data;
  options.ctx_size_in = static_cast<uint32_t>(ctx.size);
  options.ctx_out = ctx_out.data;
  options.ctx_size_out = static_cast<uint32_t>(ctx_out.size);
  options.repeat = info[4].As<Napi::Number>().Int32Value();
  options.flags = info[5].As<Napi::Number>().Uint32Value();
  options.cpu = info[6].As<Napi::Number>().Uint32Value();
  options.batch_size = info[7].As<Napi::Number>().Uint32Value();
  int status = -EINTR;
  {
    SignalPause pause;
    bpf_test_run_opts given = options;
    for (int attempt = 0; status == -EINTR && attempt < kMaxInterruptions; attempt++) {
      options = given;
      status = bpf_prog_test_run_opts(fd_.get(), &options);
    }
  }
  auto result = info[8].As<Napi::Uint32Array>();
  result[0] = options.retval;
  result[1] = options.duration;
  result[2] = options.data_size_out;
  result[3] = options.ctx_size_out;
  return Napi::Number::New(env, status);
}

} // namespace libbpf_ts
