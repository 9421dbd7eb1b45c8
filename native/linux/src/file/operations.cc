// Instructions that are one system call each, and listing. All run with the caller's rights.
#include "execution.h"

#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace file {

static constexpr size_t kTargetBytesMax = 4095;
static constexpr size_t kXattrNameBytesMax = 255;
// Read from a directory at once; also the stack it takes.
static constexpr size_t kListChunkBytes = 32 * 1024;

static int Done(int result) {
  return result == 0 ? 0 : -errno;
}

int Execution::Ftruncate(Instruction &step) {
  Register *file = Reg(step.a);
  if (file == nullptr)
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  return Done(::ftruncate(file->fd, static_cast<off_t>(step.x)));
}

// x: from where; offset: how much; y: mode.
int Execution::Fallocate(Instruction &step) {
  Register *file = Reg(step.a);
  uint64_t length;
  if (file == nullptr || !Operand(step.offset, length))
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  return Done(::fallocate(file->fd, static_cast<int>(step.y), static_cast<off_t>(step.x),
                          static_cast<off_t>(length)));
}

// y: 1 for the data alone.
int Execution::Fsync(Instruction &step) {
  Register *file = Reg(step.a);
  if (file == nullptr)
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  return Done(step.y == 1 ? ::fdatasync(file->fd) : ::fsync(file->fd));
}

// x: from where; offset: how much; y: flags.
int Execution::SyncRange(Instruction &step) {
  Register *file = Reg(step.a);
  uint64_t length;
  if (file == nullptr || !Operand(step.offset, length))
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  return Done(::sync_file_range(file->fd, static_cast<off_t>(step.x), static_cast<off_t>(length), step.y));
}

// offset: from where, to where and how much, three numbers.
int Execution::CopyRange(Instruction &step) {
  Register *from = Reg(step.a), *to = Reg(step.b);
  struct {
    int64_t from, to;
    uint64_t length;
  } range;
  if (from == nullptr || to == nullptr || !Operand(step.offset, range))
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  const size_t length = std::min<uint64_t>(range.length, 1u << 30);
  const ssize_t count = ::copy_file_range(from->fd, &range.from, to->fd, &range.to, length, 0);
  return count < 0 ? -errno : static_cast<int>(count);
}

// x: from where, then what was found; y: SEEK_DATA or SEEK_HOLE.
int Execution::Seek(Instruction &step) {
  Register *file = Reg(step.a);
  if (file == nullptr || (step.y != SEEK_DATA && step.y != SEEK_HOLE))
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  const off_t found = ::lseek(file->fd, static_cast<off_t>(step.x), static_cast<int>(step.y));
  if (found < 0)
    return -errno;
  step.x = static_cast<uint64_t>(found);
  return 0;
}

int Execution::MkdirAt(Instruction &step) {
  Register *directory = Reg(step.a);
  std::string name;
  if (directory == nullptr || !Name(step.offset, step.length, name))
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  return Done(::mkdirat(directory->fd, name.c_str(), static_cast<mode_t>(step.x & 07777)));
}

// x: mode with the type, and in the upper half the device's major number; y: its minor.
int Execution::MknodAt(Instruction &step) {
  Register *directory = Reg(step.a);
  std::string name;
  if (directory == nullptr || !Name(step.offset, step.length, name))
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  const dev_t device = ::makedev(static_cast<unsigned>(step.x >> 32), step.y);
  return Done(::mknodat(directory->fd, name.c_str(), static_cast<mode_t>(step.x), device));
}

// x: where the target is; y: its length.
int Execution::SymlinkAt(Instruction &step) {
  Register *directory = Reg(step.a);
  std::string name;
  const uint8_t *bytes = Bytes(step.x, step.y);
  if (directory == nullptr || !Name(step.offset, step.length, name) || bytes == nullptr)
    return -EINVAL;
  if (step.y > kTargetBytesMax)
    return -ENAMETOOLONG;
  const std::string target(reinterpret_cast<const char *>(bytes), step.y);
  if (target.find('\0') != std::string::npos)
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  return Done(::symlinkat(target.c_str(), directory->fd, name.c_str()));
}

// File a gets a name in directory b.
int Execution::LinkAt(Instruction &step) {
  Register *file = Reg(step.a), *directory = Reg(step.b);
  std::string name;
  if (file == nullptr || directory == nullptr || !Name(step.offset, step.length, name))
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  // AT_EMPTY_PATH would need CAP_DAC_READ_SEARCH. The link that is followed is the one in /proc alone.
  return Done(::linkat(AT_FDCWD, ProcPath(file->fd).c_str(), directory->fd, name.c_str(), AT_SYMLINK_FOLLOW));
}

// From directory a to directory b; x: where the new name is, its length in the upper half; y: flags.
int Execution::RenameAt(Instruction &step) {
  Register *from = Reg(step.a), *to = Reg(step.b);
  std::string name, new_name;
  if (from == nullptr || to == nullptr || !Name(step.offset, step.length, name) ||
      !Name(static_cast<uint32_t>(step.x), step.x >> 32, new_name))
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  return Done(
      static_cast<int>(::syscall(SYS_renameat2, from->fd, name.c_str(), to->fd, new_name.c_str(), step.y)));
}

// y: AT_REMOVEDIR or 0.
int Execution::UnlinkAt(Instruction &step) {
  Register *directory = Reg(step.a);
  std::string name;
  if (directory == nullptr || !Name(step.offset, step.length, name))
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  return Done(::unlinkat(directory->fd, name.c_str(), static_cast<int>(step.y & AT_REMOVEDIR)));
}

int Execution::ReadlinkAt(Instruction &step) {
  Register *link = Reg(step.a);
  uint8_t *place = Bytes(step.offset, step.length);
  if (link == nullptr || place == nullptr)
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  const ssize_t count = ::readlinkat(link->fd, "", reinterpret_cast<char *>(place), step.length);
  if (count >= 0)
    return static_cast<int>(count);
  return errno == ENOENT ? -EINVAL : -errno; // how the kernel says that it is no symbolic link
}

int Execution::Chmod(Instruction &step) {
  Register *file = Reg(step.a);
  if (file == nullptr)
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  // fchmod(2) refuses an O_PATH descriptor, and fchmodat2(2) is young.
  return Done(::chmod(ProcPath(file->fd).c_str(), static_cast<mode_t>(step.x & 07777)));
}

// x: owner, and the group in the upper half; 0xffffffff leaves it.
int Execution::Chown(Instruction &step) {
  Register *file = Reg(step.a);
  if (file == nullptr)
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  return Done(
      ::fchownat(file->fd, "", static_cast<uid_t>(step.x), static_cast<gid_t>(step.x >> 32), AT_EMPTY_PATH));
}

// offset: two struct timespec.
int Execution::Utimens(Instruction &step) {
  Register *file = Reg(step.a);
  timespec times[2];
  if (file == nullptr || !Operand(step.offset, times))
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  return Done(static_cast<int>(::syscall(SYS_utimensat, file->fd, "", times, AT_EMPTY_PATH)));
}

int Execution::Statfs(Instruction &step) {
  Register *file = Reg(step.a);
  uint8_t *place = Bytes(step.offset, sizeof(struct statfs));
  if (file == nullptr || place == nullptr)
    return -EINVAL;
  if (!MayWait())
    return -kWouldWait;
  struct statfs state;
  if (::fstatfs(file->fd, &state) != 0)
    return -errno;
  std::memcpy(place, &state, sizeof(state));
  return 0;
}

// a: an open directory; x: the cookie to continue after, on return whether the end was reached; entries go to the data at
// `offset`. Answers the bytes they take, or EINVAL where not even one fits.
int Execution::List(Instruction &step) {
  Register *directory = Reg(step.a);
  uint8_t *into = Data(step.offset, step.length);
  if (directory == nullptr || into == nullptr)
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  if (::lseek(directory->fd, static_cast<off_t>(step.x), SEEK_SET) < 0)
    return -errno;
  const bool plus = (step.flags & kPlus) != 0;
  step.x = 0;
  size_t used = 0;
  alignas(8) uint8_t chunk[kListChunkBytes];
  for (;;) {
    // About as much as will fit: what is read and not delivered is read again. An entry with attributes takes 8 times the
    // room; one entry always fits.
    const size_t wanted = (plus ? (step.length - used) / 8 : step.length - used) + 512;
    const long got = ::syscall(SYS_getdents64, directory->fd, chunk, std::min(kListChunkBytes, wanted));
    if (got < 0)
      return used > 0 ? static_cast<int>(used) : -errno;
    if (got == 0) {
      step.x = 1;
      return static_cast<int>(used);
    }
    for (long at = 0; at < got;) {
      const auto *raw = reinterpret_cast<const dirent64 *>(chunk + at);
      at += raw->d_reclen;
      const size_t name_bytes = std::strlen(raw->d_name);
      const size_t name_end = (sizeof(ListEntry) + name_bytes + 7) & ~size_t{7};
      const size_t most = name_end + (plus ? sizeof(struct statx) + kHandleSpace : 0);
      if (most > step.length - used)
        return used > 0 ? static_cast<int>(used) : -EINVAL;
      ListEntry entry = {raw->d_ino,
                         static_cast<uint64_t>(raw->d_off),
                         static_cast<uint32_t>(name_end),
                         static_cast<uint16_t>(name_bytes),
                         raw->d_type,
                         0};
      // The parent may be outside of what the caller sees.
      const bool is_parent = std::strcmp(raw->d_name, "..") == 0;
      if (plus && !is_parent) {
        const bool is_self = std::strcmp(raw->d_name, ".") == 0;
        UniqueFd opened;
        int fd = directory->fd;
        if (!is_self) {
          open_how how = {};
          how.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
          how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV | RESOLVE_BENEATH;
          opened = UniqueFd(static_cast<int>(::syscall(SYS_openat2, fd, raw->d_name, &how, sizeof(how))));
          fd = opened.get();
        }
        struct statx attributes;
        HandleKey key;
        int mount_id = 0;
        // What has gone meanwhile, or may not be searched, stays a name.
        if (fd >= 0 && StatxOf(fd, attributes) == 0 && HandleOfFd(fd, key, mount_id) == 0 &&
            mount_id == volume_.mount_id) {
          const uint32_t bytes = key.size() - sizeof(int32_t);
          uint8_t *place = into + used + name_end;
          std::memcpy(place, &attributes, sizeof(attributes));
          std::memcpy(place + sizeof(attributes), &bytes, sizeof(bytes));
          std::memcpy(place + sizeof(attributes) + sizeof(bytes), key.data(), key.size());
          entry.has_attributes = 1;
          entry.entry_bytes = static_cast<uint32_t>(most);
        }
      }
      std::memcpy(into + used, &entry, sizeof(entry));
      std::memcpy(into + used + sizeof(entry), raw->d_name, name_bytes);
      used += entry.entry_bytes;
    }
  }
}

// Attributes have names that may contain anything but NUL.
static bool XattrName(const uint8_t *bytes, size_t length, std::string &name) {
  if (bytes == nullptr || length == 0 || length > kXattrNameBytesMax)
    return false;
  name.assign(reinterpret_cast<const char *>(bytes), length);
  return name.find('\0') == std::string::npos;
}

// The value comes to the data, from its beginning.
int Execution::GetXattr(Instruction &step) {
  Register *file = Reg(step.a);
  std::string name;
  if (file == nullptr || !XattrName(Bytes(step.offset, step.length), step.length, name))
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  const ssize_t bytes = ::getxattr(ProcPath(file->fd).c_str(), name.c_str(), data_, data_bytes_);
  return bytes < 0 ? -errno : static_cast<int>(bytes);
}

// The value is the data; y: XATTR_CREATE, XATTR_REPLACE or 0.
int Execution::SetXattr(Instruction &step) {
  Register *file = Reg(step.a);
  std::string name;
  if (file == nullptr || !XattrName(Bytes(step.offset, step.length), step.length, name))
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  return Done(
      ::setxattr(ProcPath(file->fd).c_str(), name.c_str(), data_, data_bytes_, static_cast<int>(step.y)));
}

// The names come to the data, each with a NUL.
int Execution::ListXattr(Instruction &step) {
  Register *file = Reg(step.a);
  if (file == nullptr)
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  const ssize_t bytes = ::listxattr(ProcPath(file->fd).c_str(), reinterpret_cast<char *>(data_), data_bytes_);
  return bytes < 0 ? -errno : static_cast<int>(bytes);
}

int Execution::RemoveXattr(Instruction &step) {
  Register *file = Reg(step.a);
  std::string name;
  if (file == nullptr || !XattrName(Bytes(step.offset, step.length), step.length, name))
    return -EINVAL;
  if (const int error = AsCaller(); error != 0)
    return error;
  return Done(::removexattr(ProcPath(file->fd).c_str(), name.c_str()));
}

// offset: attributes that STATX has put there; x, y: the ctime they must have.
int Execution::Guard(Instruction &step) {
  struct statx attributes;
  if (!Operand(step.offset, attributes))
    return -EINVAL;
  const bool same =
      attributes.stx_ctime.tv_sec == static_cast<int64_t>(step.x) && attributes.stx_ctime.tv_nsec == step.y;
  return same ? 0 : -ECANCELED;
}

Execution::Step Execution::StepOf(uint16_t operation) {
  // In the order of FILE_OPERATIONS.
  static constexpr Step kSteps[] = {
      &Execution::Handle,    &Execution::Root,       &Execution::Statx,       &Execution::OpenAt,
      &Execution::Parent,    &Execution::Reopen,     &Execution::HandleOf,    &Execution::Forget,
      &Execution::Permit,    &Execution::Serialise,  &Execution::OpenForIo,   &Execution::ReadFile,
      &Execution::WriteFile, &Execution::Ftruncate,  &Execution::Fallocate,   &Execution::Fsync,
      &Execution::SyncRange, &Execution::CopyRange,  &Execution::Seek,        &Execution::MkdirAt,
      &Execution::MknodAt,   &Execution::SymlinkAt,  &Execution::LinkAt,      &Execution::RenameAt,
      &Execution::UnlinkAt,  &Execution::ReadlinkAt, &Execution::Chmod,       &Execution::Chown,
      &Execution::Utimens,   &Execution::Statfs,     &Execution::List,        &Execution::GetXattr,
      &Execution::SetXattr,  &Execution::ListXattr,  &Execution::RemoveXattr, &Execution::Guard,
  };
  static_assert(sizeof(kSteps) / sizeof(kSteps[0]) == static_cast<size_t>(Operation::COUNT));
  return operation < static_cast<uint16_t>(Operation::COUNT) ? kSteps[operation] : nullptr;
}

} // namespace file
