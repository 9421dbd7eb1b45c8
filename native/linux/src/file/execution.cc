// How a program runs: registers, rights, access, and the instructions that know of handles and the cache. The plain
// system calls are in operations.cc.
#include "execution.h"

#include <cerrno>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace file {

// The bytes of struct file_handle in front of the handle, with room for the longest.
struct HandleBuffer {
  struct file_handle head;
  unsigned char bytes[kHandleBytesMax];
};

// A verdict is remembered only of a file whose ctime is so old that any later change must give it another one: clocks of
// file systems tick every 1 to 10 ms.
static constexpr int64_t kSettledNs = 100'000'000;
// How far up a directory may be below its root.
static constexpr int kDepthMax = 1024;
static constexpr size_t kNameBytesMax = 255;
// Never followed, never left, whatever JavaScript asks for.
static constexpr uint64_t kContained = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;

int StatxOf(int fd, struct statx &attributes) {
  const int done =
      ::statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_BTIME, &attributes);
  return done == 0 ? 0 : -errno;
}

int HandleOfFd(int fd, HandleKey &key, int &mount_id) {
  HandleBuffer buffer = {};
  buffer.head.handle_bytes = kHandleBytesMax;
  if (::name_to_handle_at(fd, "", &buffer.head, &mount_id, AT_EMPTY_PATH) != 0)
    return -1;
  key.assign(reinterpret_cast<const char *>(&buffer.head.handle_type), sizeof(buffer.head.handle_type));
  key.append(reinterpret_cast<const char *>(buffer.head.f_handle), buffer.head.handle_bytes);
  return 0;
}

std::string ProcPath(int fd) {
  return "/proc/self/fd/" + std::to_string(fd);
}

// What was found is refused with EXDEV where it is moved out of the directory before the call returns (complete_walk() of
// the kernel), as what lies on another file system always is: a few attempts tell the two apart.
static constexpr int kMovedAttempts = 4;

static int OpenAt2(int directory, const char *name, uint64_t flags, uint64_t mode, uint64_t resolve) {
  open_how how = {};
  how.flags = flags;
  how.mode = mode;
  how.resolve = resolve;
  int fd = -1;
  for (int attempt = 0; attempt < kMovedAttempts; attempt++) {
    fd = static_cast<int>(::syscall(SYS_openat2, directory, name, &how, sizeof(how)));
    if (fd >= 0 || errno != EXDEV)
      break;
  }
  return fd;
}

bool Execution::Run() {
  auto *header = reinterpret_cast<Header *>(slot_);
  auto *steps = reinterpret_cast<Instruction *>(slot_ + kHeaderBytes);
  header->failed_at = -1;
  header->error = 0;
  const uint32_t count = std::min<uint32_t>(header->count, kInstructionsMax);
  for (uint32_t i = 0; i < count; i++) {
    Instruction &step = steps[i];
    step.result = kNotRun;
    if (header->failed_at >= 0 && (step.flags & kAlways) == 0)
      continue;
    const Step perform = StepOf(step.operation);
    const int result = perform == nullptr ? -EINVAL : (this->*perform)(step);
    if (result == -kWouldWait)
      return false;
    step.result = result;
    if (result < 0 && (step.flags & kMayFail) == 0 && header->failed_at < 0) {
      header->failed_at = static_cast<int32_t>(i);
      header->error = -result;
    }
  }
  return true;
}

int Execution::AsCaller() {
  return MayWait() ? -thread_->Assume(caller_) : -kWouldWait;
}

void Execution::AsServer() {
  thread_->Return();
}

Execution::Register *Execution::Reg(uint8_t index) {
  return index < kRegisters && registers_[index].fd >= 0 ? &registers_[index] : nullptr;
}

uint8_t *Execution::Bytes(size_t offset, size_t length) {
  return offset >= kHeaderBytes && offset <= kSlotBytes && length <= kSlotBytes - offset ? slot_ + offset
                                                                                         : nullptr;
}

uint8_t *Execution::Data(size_t offset, size_t length) {
  static uint8_t none; // what is empty may have no address
  if (length == 0)
    return &none;
  return offset <= data_bytes_ && length <= data_bytes_ - offset ? data_ + offset : nullptr;
}

// One component of a path, and nothing that means another directory.
bool Execution::Name(size_t offset, size_t length, std::string &name) {
  const uint8_t *bytes = Bytes(offset, length);
  if (bytes == nullptr || length == 0 || length > kNameBytesMax)
    return false;
  name.assign(reinterpret_cast<const char *>(bytes), length);
  return name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

bool Execution::HandleAt(size_t offset, size_t length, HandleKey &key) {
  const uint8_t *bytes = Bytes(offset, length);
  if (bytes == nullptr || length < sizeof(int32_t) || length > sizeof(int32_t) + kHandleBytesMax)
    return false;
  key.assign(reinterpret_cast<const char *>(bytes), length);
  return true;
}

// Takes what a call has opened, or its error.
int Execution::Open(Register &target, int fd) {
  if (fd < 0)
    return -errno;
  target = Register();
  target.owned = UniqueFd(fd);
  target.fd = fd;
  return 0;
}

int Execution::Resolve(Register &target, const HandleKey &key) {
  target = Register();
  target.ref = volume_.cache.Find(key);
  if (!target.ref) {
    if (!MayWait())
      return -kWouldWait;
    HandleBuffer buffer = {};
    buffer.head.handle_bytes = key.size() - sizeof(int32_t);
    std::memcpy(&buffer.head.handle_type, key.data(), sizeof(int32_t));
    std::memcpy(buffer.head.f_handle, key.data() + sizeof(int32_t), buffer.head.handle_bytes);
    AsServer(); // CAP_DAC_READ_SEARCH
    UniqueFd fd(::open_by_handle_at(volume_.root.get(), &buffer.head, O_PATH | O_CLOEXEC));
    if (!fd)
      return errno == EINVAL || errno == ENOENT ? -ESTALE
                                                : -errno; // bytes that are no handle of this file system
    target.ref = volume_.cache.Insert(key, std::move(fd));
  }
  target.fd = DescriptorCache::PathFd(target.ref);
  return 0;
}

// Our own descriptor keeps a deleted file alive, which for everybody else is gone.
int Execution::Attributes(Register &file, struct statx &attributes) {
  const int error = StatxOf(file.fd, attributes);
  if (error != 0)
    return error;
  if (attributes.stx_nlink != 0 || !file.ref)
    return 0;
  HandleKey key;
  int mount_id;
  if (HandleOfFd(file.fd, key, mount_id) == 0)
    volume_.cache.Drop(key);
  return -ESTALE;
}

// What the kernel says of the caller's right `mask` on the file; remembered, on a local file system.
int Execution::Verdict(Register &file, int mask, const struct statx &attributes) {
  const AccessStamp stamp = AccessStamp::Of(attributes);
  if (file.ref && volume_.local) {
    const int known = volume_.cache.FindVerdict(file.ref, caller_->serial, mask, stamp);
    if (known >= 0)
      return -known;
  }
  if (const int error = AsCaller(); error != 0)
    return error;
  const int denied =
      ::syscall(SYS_faccessat2, file.fd, "", mask, AT_EMPTY_PATH | AT_EACCESS) == 0 ? 0 : errno;
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  const int64_t age_ns =
      (now.tv_sec - stamp.ctime_sec) * 1'000'000'000 + now.tv_nsec - static_cast<int64_t>(stamp.ctime_nsec);
  if (file.ref && volume_.local && age_ns > kSettledNs)
    volume_.cache.InsertVerdict(file.ref, caller_->serial, mask, stamp, denied);
  return -denied;
}

// Whether the caller may read or write. A protocol without open cannot tell that somebody opened the file when it was
// allowed: with kOwnerPasses the owner may, and who may execute may read, since executing is reading at the client.
int Execution::Admit(Register &file, bool writes, uint16_t flags, const struct statx &attributes,
                     bool &overrides) {
  if (S_ISDIR(attributes.stx_mode))
    return -EISDIR;
  if (!S_ISREG(attributes.stx_mode))
    return -EINVAL; // a device or a FIFO is the client's to use, never opened here
  overrides = false;
  const int verdict = Verdict(file, writes ? W_OK : R_OK, attributes);
  if (verdict != -EACCES || (flags & kOwnerPasses) == 0)
    return verdict;
  if (attributes.stx_uid == caller_->uid) {
    overrides = true;
    return 0;
  }
  if (writes)
    return verdict;
  const int executes = Verdict(file, X_OK, attributes);
  if (executes != 0)
    return executes == -kWouldWait ? executes : verdict;
  overrides = true;
  return 0;
}

// Of a regular file, which the caller has been admitted to.
int Execution::FileFor(Register &file, bool writes, bool overrides, std::shared_ptr<OpenFile> &open) {
  if (file.ref) {
    open = volume_.cache.FindOpen(file.ref, caller_->serial, writes);
    if (open)
      return 0;
  }
  if (overrides && MayWait())
    AsServer();
  else if (const int error = AsCaller(); error != 0)
    return error;
  const int flags = (writes ? O_WRONLY : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  UniqueFd fd(::open(ProcPath(file.fd).c_str(), flags));
  if (!fd)
    return -errno;
  if (const int error = AsCaller(); error != 0)
    return error;
  if (file.ref)
    open = volume_.cache.InsertOpen(file.ref, caller_->serial, writes, std::move(fd));
  else
    open = std::make_shared<OpenFile>(std::move(fd), [](UniqueFd) {});
  return 0;
}

int Execution::Handle(Instruction &step) {
  HandleKey key;
  if (step.a >= kRegisters || !HandleAt(step.offset, step.length, key))
    return -EINVAL;
  return Resolve(registers_[step.a], key);
}

int Execution::Root(Instruction &step) {
  if (step.a >= kRegisters)
    return -EINVAL;
  registers_[step.a] = Register();
  registers_[step.a].fd = volume_.root.get();
  return 0;
}

int Execution::Statx(Instruction &step) {
  Register *file = Reg(step.a);
  uint8_t *place = Bytes(step.offset, sizeof(struct statx));
  if (file == nullptr || place == nullptr)
    return -EINVAL;
  struct statx attributes;
  const int error = Attributes(*file, attributes);
  if (error == 0)
    std::memcpy(place, &attributes, sizeof(attributes));
  return error;
}

// x: flags, and the mode in the upper half.
int Execution::OpenAt(Instruction &step) {
  Register *directory = Reg(step.b);
  std::string name;
  if (directory == nullptr || step.a >= kRegisters || !Name(step.offset, step.length, name))
    return -EINVAL;
  const uint32_t flags = static_cast<uint32_t>(step.x) | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  const uint32_t mode = step.x >> 32;
  const bool only_path = (flags & O_PATH) != 0;
  // Without O_PATH a device would be opened, unless the file is made here.
  if (!only_path && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL))
    return -EINVAL;
  const uint64_t kept = only_path ? O_PATH | O_NOFOLLOW | O_CLOEXEC | O_DIRECTORY : ~0ull;
  const uint64_t resolve = kContained | RESOLVE_BENEATH;
  if (!MayWait()) {
    // Nobody's rights but the server's hold here: the caller's right to search was looked up before.
    if (!only_path || !directory->searchable)
      return -kWouldWait;
    const int fd = OpenAt2(directory->fd, name.c_str(), flags & kept, 0, resolve | RESOLVE_CACHED);
    if (fd < 0 && errno == EAGAIN)
      return -kWouldWait;
    return Open(registers_[step.a], fd);
  }
  if (const int error = AsCaller(); error != 0)
    return error;
  return Open(registers_[step.a], OpenAt2(directory->fd, name.c_str(), flags & kept, mode, resolve));
}

// a: the directory that holds directory b, if it is c or below it. Going up leaves what BENEATH could hold, so the whole
// way to the root is gone instead.
int Execution::Parent(Instruction &step) {
  Register *child = Reg(step.b), *root = Reg(step.c);
  if (child == nullptr || root == nullptr || step.a >= kRegisters)
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  struct statx top, here;
  if (const int error = StatxOf(root->fd, top); error != 0)
    return error;
  if (const int error = StatxOf(child->fd, here); error != 0)
    return error;
  const auto is_top = [&] {
    return here.stx_ino == top.stx_ino && here.stx_dev_major == top.stx_dev_major &&
           here.stx_dev_minor == top.stx_dev_minor;
  };
  if (is_top())
    return -EXDEV;
  UniqueFd parent(OpenAt2(child->fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC, 0, kContained));
  if (!parent)
    return -errno;
  AsServer(); // the way up is ours, not the caller's
  int at = parent.get();
  UniqueFd above;
  for (int depth = 0; depth < kDepthMax; depth++) {
    if (const int error = StatxOf(at, here); error != 0)
      return error;
    if (is_top())
      return Open(registers_[step.a], ::fcntl(parent.get(), F_DUPFD_CLOEXEC, 0));
    const uint64_t inode = here.stx_ino;
    above = UniqueFd(OpenAt2(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC, 0, kContained));
    if (!above)
      return -errno;
    at = above.get();
    if (const int error = StatxOf(at, here); error != 0)
      return error;
    if (here.stx_ino == inode)
      return -EXDEV; // the top of the file system
  }
  return -EXDEV;
}

// x: for reading, writing or both. A regular file or a directory, as the caller.
int Execution::Reopen(Instruction &step) {
  Register *file = Reg(step.b);
  if (file == nullptr || step.a >= kRegisters)
    return -EINVAL;
  struct statx attributes;
  if (const int error = Attributes(*file, attributes); error != 0)
    return error;
  if (!S_ISREG(attributes.stx_mode) && !S_ISDIR(attributes.stx_mode))
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  const int flags = static_cast<int>(step.x & O_ACCMODE) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  return Open(registers_[step.a], ::open(ProcPath(file->fd).c_str(), flags));
}

int Execution::HandleOf(Instruction &step) {
  Register *file = Reg(step.a);
  uint8_t *place = Bytes(step.offset, kHandleSpace);
  if (file == nullptr || place == nullptr)
    return -EINVAL;
  HandleKey key;
  int mount_id = 0;
  if (HandleOfFd(file->fd, key, mount_id) != 0)
    return -errno;
  if (mount_id != volume_.mount_id)
    return -EXDEV;
  const uint32_t bytes = key.size() - sizeof(int32_t);
  std::memcpy(place, &bytes, sizeof(bytes));
  std::memcpy(place + sizeof(bytes), key.data(), key.size());
  if ((step.flags & kKeep) != 0 && file->owned) {
    file->ref = volume_.cache.Insert(key, std::move(file->owned));
    file->fd = DescriptorCache::PathFd(file->ref);
  }
  return 0;
}

// The handle at `offset`; with register a only if that file has no link left.
int Execution::Forget(Instruction &step) {
  HandleKey key;
  uint32_t bytes;
  if (!Operand(step.offset, bytes) || !HandleAt(step.offset + sizeof(bytes), sizeof(int32_t) + bytes, key))
    return -EINVAL;
  if (Register *file = Reg(step.a)) {
    struct statx attributes;
    if (StatxOf(file->fd, attributes) == 0 && attributes.stx_nlink != 0 && !S_ISDIR(attributes.stx_mode))
      return 0;
  }
  volume_.cache.Drop(key);
  return 1;
}

// y: R_OK, W_OK or X_OK, one of them. offset: attributes that STATX has put there.
int Execution::Permit(Instruction &step) {
  Register *file = Reg(step.a);
  struct statx attributes;
  if (file == nullptr || !Operand(step.offset, attributes) || step.y == 0 || step.y > 4)
    return -EINVAL;
  int verdict = Verdict(*file, static_cast<int>(step.y), attributes);
  if (verdict == -EACCES && (step.flags & kOwnerPasses) != 0 && attributes.stx_uid == caller_->uid)
    verdict = 0;
  if (verdict == 0 && step.y == X_OK)
    file->searchable = true;
  return verdict;
}

// Registers a and b (or a alone, if they are the same). Without either, what was taken is given back.
int Execution::Serialise(Instruction &step) {
  if (!MayWait())
    return -kWouldWait;
  if (step.a >= kRegisters && step.b >= kRegisters) {
    serials_ = {};
    return 0;
  }
  if (serials_[0].owns_lock())
    return -EINVAL; // a second round could wait for itself
  size_t wanted[2];
  for (int i = 0; i < 2; i++) {
    Register *file = Reg(i == 0 ? step.a : step.b);
    struct statx attributes;
    if (file == nullptr)
      return -EINVAL;
    if (const int error = StatxOf(file->fd, attributes); error != 0)
      return error;
    wanted[i] = (attributes.stx_ino * 0x9e3779b97f4a7c15ull >> 32) % Volume::kSerials;
  }
  // In one order everywhere.
  const auto [low, high] = std::minmax(wanted[0], wanted[1]);
  serials_[0] = std::unique_lock(volume_.serials[low]);
  if (high != low)
    serials_[1] = std::unique_lock(volume_.serials[high]);
  return 0;
}

int Execution::OpenForIo(Instruction &step) {
  Register *file = Reg(step.b);
  if (file == nullptr || step.a >= kRegisters)
    return -EINVAL;
  const bool writes = (step.flags & kWrites) != 0;
  struct statx attributes;
  if (const int error = Attributes(*file, attributes); error != 0)
    return error;
  bool overrides;
  if (const int error = Admit(*file, writes, step.flags, attributes, overrides); error != 0)
    return error;
  std::shared_ptr<OpenFile> open;
  if (const int error = FileFor(*file, writes, overrides, open); error != 0)
    return error;
  registers_[step.a] = Register();
  registers_[step.a].fd = open->fd();
  registers_[step.a].open = std::move(open);
  return 0;
}

// Data at `offset`, x: where in the file, y: where in the slot the attributes go.
int Execution::ReadFile(Instruction &step) {
  Register *file = Reg(step.a);
  uint8_t *into = Data(step.offset, step.length);
  uint8_t *attributes_at = Bytes(step.y, sizeof(struct statx));
  if (file == nullptr || into == nullptr || attributes_at == nullptr)
    return -EINVAL;
  if (!MayWait())
    return ReadWithoutWaiting(*file, step, into, attributes_at);
  struct statx attributes;
  if (const int error = Attributes(*file, attributes); error != 0)
    return error;
  bool overrides;
  if (const int error = Admit(*file, false, step.flags, attributes, overrides); error != 0)
    return error;
  std::shared_ptr<OpenFile> open;
  if (const int error = FileFor(*file, false, overrides, open); error != 0)
    return error;
  size_t done = 0;
  while (done < step.length) {
    const ssize_t count =
        ::pread(open->fd(), into + done, step.length - done, static_cast<off_t>(step.x + done));
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0 && done == 0)
      return -errno;
    if (count <= 0)
      break;
    done += count;
  }
  if (const int error = StatxOf(file->fd, attributes); error != 0)
    return error;
  std::memcpy(attributes_at, &attributes, sizeof(attributes));
  return static_cast<int>(done);
}

// All of it from memory, or nothing. The attributes are taken after the data: if they are still those that the verdict was
// about, the caller had the right when it was read.
int Execution::ReadWithoutWaiting(Register &file, Instruction &step, uint8_t *into, uint8_t *attributes_at) {
  if (!file.ref || !volume_.local)
    return -kWouldWait;
  const std::shared_ptr<OpenFile> open = volume_.cache.FindOpen(file.ref, caller_->serial, false);
  if (!open)
    return -kWouldWait;
  // tmpfs does not know the flag, and needs none.
  const int flags = volume_.in_memory ? 0 : RWF_NOWAIT;
  size_t done = 0;
  while (done < step.length) {
    iovec part = {into + done, step.length - done};
    const ssize_t count = ::preadv2(open->fd(), &part, 1, static_cast<off_t>(step.x + done), flags);
    if (count < 0)
      return -kWouldWait; // EAGAIN, or an error that the other way reports
    if (count == 0)
      break;
    done += count;
  }
  struct statx attributes;
  if (Attributes(file, attributes) != 0)
    return -kWouldWait;
  bool overrides;
  if (Admit(file, false, step.flags, attributes, overrides) != 0)
    return -kWouldWait;
  std::memcpy(attributes_at, &attributes, sizeof(attributes));
  return static_cast<int>(done);
}

// Data at `offset`, x: where in the file, y: 0 in memory, 1 data on disk, 2 all on disk. Fewer bytes than asked for are
// written if the rest failed; the next write reports why.
int Execution::WriteFile(Instruction &step) {
  Register *file = Reg(step.a);
  uint8_t *from = Data(step.offset, step.length);
  if (file == nullptr || from == nullptr || step.y > 2)
    return -EINVAL;
  if (!MayWait())
    return -kWouldWait;
  struct statx attributes;
  if (const int error = Attributes(*file, attributes); error != 0)
    return error;
  bool overrides;
  if (const int error = Admit(*file, true, step.flags, attributes, overrides); error != 0)
    return error;
  std::shared_ptr<OpenFile> open;
  if (const int error = FileFor(*file, true, overrides, open); error != 0)
    return error;
  if (const int error = AsCaller(); error != 0)
    return error;
  const int stability = step.y == 0 ? 0 : step.y == 1 ? RWF_DSYNC : RWF_SYNC;
  size_t done = 0;
  while (done < step.length) {
    iovec part = {from + done, step.length - done};
    const ssize_t count = ::pwritev2(open->fd(), &part, 1, static_cast<off_t>(step.x + done), stability);
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0 && done == 0)
      return -errno;
    if (count <= 0)
      break;
    done += count;
  }
  return static_cast<int>(done);
}

} // namespace file
