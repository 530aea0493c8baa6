#include "engine/console.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/error.h"

namespace {
constexpr int patience = 60'000;    // milliseconds
bool reader_stands_still = false;
int result_error = 0;               // errno of the first result that could not be written

// Whether it is the very pipe that stderr is (2>&1): a reader that leaves it, as head does, has what it wanted.
bool is_log(int descriptor) {
  struct stat own, log;
  const bool known = ::fstat(descriptor, &own) == 0 && ::fstat(STDERR_FILENO, &log) == 0;
  return known && own.st_dev == log.st_dev && own.st_ino == log.st_ino;
}

// Whether a write of at most PIPE_BUF bytes will not wait.
bool has_room(int descriptor, int milliseconds) {
  pollfd room{descriptor, POLLOUT, 0};
  int ready;
  while ((ready = ::poll(&room, 1, milliseconds)) < 0 && errno == EINTR) {}
  return ready != 0;
}
}

void write_log(std::string_view text) {
  while (!text.empty()) {
    reader_stands_still = !has_room(STDERR_FILENO, reader_stands_still ? 0 : patience);
    if (reader_stands_still) return;
    const ssize_t written = ::write(STDERR_FILENO, text.data(), std::min<size_t>(text.size(), PIPE_BUF));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return;
    text.remove_prefix(size_t(written));
  }
}

void write_result(std::string_view text) {
  while (!text.empty() && !result_error) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written >= 0) text.remove_prefix(size_t(written));
    else if (errno == EAGAIN) has_room(STDOUT_FILENO, -1);    // whoever shares it made it non-blocking
    else if (errno == EPIPE && is_log(STDOUT_FILENO)) return;
    else if (errno != EINTR) result_error = errno;
  }
}

void check_results() {
  if (result_error)
    fail(ExitCode::failed, "the result could not be written to stdout: {}; files that were written are whole; run it "
         "again with stdout elsewhere", std::strerror(result_error));
}

size_t columns_of(int descriptor) {
  winsize size{};
  return ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void occupy_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})    // open takes the lowest that is free
    if (::fcntl(descriptor, F_GETFD) < 0) static_cast<void>(::open("/", O_RDONLY | O_DIRECTORY));
}
