#include <cerrno>
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/files.h"
#include "tests/error_of.h"
#include "tests/temp_dir.h"

// Stand in for the system's: what file systems of other kinds answer, as long as a test asks for it.
namespace {
bool counts_no_bytes = false;
int folder_sync_error = 0;
}    // namespace
extern "C" int statvfs(const char* path, struct statvfs* space) {
  static const auto real = reinterpret_cast<int (*)(const char*, struct statvfs*)>(::dlsym(RTLD_NEXT, "statvfs"));
  if (!counts_no_bytes) return real(path, space);
  *space = {};
  return 0;
}
extern "C" int fsync(int file) {
  struct stat status;
  if (folder_sync_error == 0 || ::fstat(file, &status) != 0 || !S_ISDIR(status.st_mode))
    return int(::syscall(SYS_fsync, file));
  errno = folder_sync_error;
  return -1;
}

namespace {
std::string content(const std::filesystem::path& path) {
  const MappedFile file(path);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

void put(const std::filesystem::path& path, const std::string& text) {
  write_atomically(path, [&](Writer& file) { file.write(text); });
}

// Files of this process cannot grow beyond `bytes` while the object lives: what a full disk does to write().
struct FileSizeLimit {
  explicit FileSizeLimit(rlim_t bytes) : handler(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before);
    const rlimit limit{bytes, before.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before);
    ::signal(SIGXFSZ, handler);
  }
  rlimit before;
  void (*handler)(int);
};
}    // namespace

TEST_SUITE("files") {
  TEST_CASE("what was written is read, replaced whole, and leaves no temporary file") {
    const TempDir dir;
    const auto path = dir.path() / "x";
    put(path, "first");
    CHECK(content(path) == "first");
    put(path, "");
    CHECK(content(path).empty());
    put(path, "second, longer");
    CHECK(content(path) == "second, longer");
    CHECK(std::distance(std::filesystem::directory_iterator(dir.path()), {}) == 1);
  }

  TEST_CASE("a name without folder is written beside the program's own") {
    const TempDir dir;
    const auto before = std::filesystem::current_path();
    std::filesystem::current_path(dir.path());
    put("x", "here");
    std::filesystem::current_path(before);
    CHECK(content(dir.path() / "x") == "here");
  }

  TEST_CASE("a mapping outlives its file and moves") {
    const TempDir dir;
    put(dir.path() / "x", "bytes");
    put(dir.path() / "y", "others");
    MappedFile x(dir.path() / "x"), y(dir.path() / "y");
    std::filesystem::remove(dir.path() / "x");
    y = std::move(x);
    const MappedFile z(std::move(y));
    CHECK(z.bytes().size() == 5);
    CHECK(z.bytes()[4] == std::byte('s'));
    CHECK(y.bytes().empty());
  }

  TEST_CASE("what cannot be read is named") {
    const TempDir dir;
    const auto read = [&](const std::filesystem::path& path) {
      return error_of(ExitCode::failed, [&] { const MappedFile file(path); });
    };
    CHECK(says(read(dir.path() / "absent"), {"absent", "No such file"}));
    CHECK(says(read(dir.path()), {"expected a file, got a folder"}));
    ::mkfifo((dir.path() / "pipe").c_str(), 0600);
    CHECK(says(read(dir.path() / "pipe"), {"expected a file, got a pipe"}));
    if (::geteuid() == 0)
      MESSAGE("skipped: root may read every file");
    else {
      put(dir.path() / "locked", "x");
      ::chmod((dir.path() / "locked").c_str(), 0);
      CHECK(says(read(dir.path() / "locked"), {"locked", "Permission denied"}));
    }
  }

  TEST_CASE("a failing write leaves the old file whole and nothing else") {
    const TempDir dir;
    const auto path = dir.path() / "x";
    const auto write = [&](uint64_t size = 0) {
      return error_of(ExitCode::failed, [&] {
        write_atomically(
            path,
            [](Writer& file) {
              for (int i = 0; i < 100; i++) file.write(std::string(100, 'x'));
            },
            size);
      });
    };
    {
      const FileSizeLimit limit(4242);    // in the middle of a write
      CHECK(says(write(), {"cannot write", "File too large", "no file was left behind"}));
    }
    CHECK(std::filesystem::is_empty(dir.path()));
    put(path, "old");
    {
      const FileSizeLimit limit(4242);
      CHECK(says(write(), {"cannot write", "File too large", "the old file is untouched"}));
    }
    CHECK(says(write(uint64_t(1) << 60), {"cannot write", "free", "the old file is untouched"}));
    CHECK(says(error_of(ExitCode::data,
                        [&] {
                          write_atomically(path, [](Writer& file) {
                            file.write("new");
                            fail(ExitCode::data, "no more");
                          });
                        }),
               {"no more"}));
    CHECK(content(path) == "old");
    CHECK(std::distance(std::filesystem::directory_iterator(dir.path()), {}) == 1);
  }

  TEST_CASE("what is no regular file is not replaced") {
    const TempDir dir;
    CHECK(says(error_of(ExitCode::failed, [&] { put(dir.path(), "x"); }), {"not a regular file"}));
    ::mkfifo((dir.path() / "pipe").c_str(), 0600);
    CHECK(says(error_of(ExitCode::failed, [&] { put(dir.path() / "pipe", "x"); }), {"pipe", "not a regular file"}));
    CHECK(says(error_of(ExitCode::failed, [&] { put(dir.path() / "no" / "x", "x"); }), {"No such file"}));
  }

  TEST_CASE("a file system that counts no bytes is written to; one that cannot sync folders too, but damage is told") {
    const TempDir dir;
    const auto write = [&] { write_atomically(dir.path() / "x", [](Writer& file) { file.write("x"); }, 1); };
    counts_no_bytes = true;
    write();
    counts_no_bytes = false;
    CHECK(content(dir.path() / "x") == "x");
    for (const int known : {EINVAL, ENOTSUP, ENOSYS, EBADF, EPERM}) {
      folder_sync_error = known;
      write();
    }
    folder_sync_error = EIO;
    CHECK(says(error_of(ExitCode::failed, write), {"cannot sync its folder"}));
    folder_sync_error = 0;
  }

  TEST_CASE("what killed processes left behind is removed, but not what others write, and no link is followed") {
    const TempDir dir;
    const auto victim = dir.path() / "victim", left = dir.path() / ".relucent-1-0.tmp",
               held = dir.path() / ".relucent-1-1.tmp";
    for (const auto& file : {victim, left, held}) std::ofstream(file) << "theirs";
    const int other = ::open(held.c_str(), O_RDWR);
    REQUIRE(::flock(other, LOCK_EX) == 0);
    for (int i = 0; i < 5000; i++)
      std::filesystem::create_symlink(victim, dir.path() / fmt::format(".relucent-{}-{}.tmp", ::getpid(), i));
    put(dir.path() / "x", "mine");
    CHECK(content(victim) == "theirs");
    CHECK(content(dir.path() / "x") == "mine");
    CHECK(!std::filesystem::is_symlink(dir.path() / "x"));
    CHECK(!std::filesystem::exists(left));
    CHECK(std::filesystem::exists(held));
    ::close(other);
  }

  TEST_CASE("one holder a folder, which leaves no trace") {
    const TempDir dir;
    const auto folder = dir.path() / "new" / "folder", there = dir.path() / "there";
    std::filesystem::create_directory(there);
    {
      const FolderLock lock(folder), other(there);
      CHECK(says(error_of(ExitCode::failed, [&] { FolderLock{folder}; }), {"folder", "another process"}));
      CHECK(says(error_of(ExitCode::failed, [&] { FolderLock{there}; }), {"there", "another process"}));
    }
    CHECK(!std::filesystem::exists(folder));
    CHECK(std::filesystem::is_empty(there));
    const FolderLock again(there);
    std::ofstream(dir.path() / "file") << "x";
    CHECK(
        says(error_of(ExitCode::failed, [&] { FolderLock{dir.path() / "file"}; }), {"file", "cannot make the folder"}));
  }
}
