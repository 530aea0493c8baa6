#include "engine/progress.h"
#include <fmt/format.h>
#include <unistd.h>
#include <algorithm>
#include "engine/console.h"

namespace {
std::string duration(double seconds) {
  const long s = long(seconds + 0.5);
  return s >= 3600 ? fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
                   : fmt::format("{}:{:02}", s / 60, s % 60);
}

// Without the last parts that `width` columns have no room for.
std::string fitting(std::string line, size_t width) {
  while (line.size() > width) {
    const size_t part = line.rfind("  ");
    line.resize(part == line.npos ? width : line.find_last_not_of(' ', part) + 1);
  }
  return line;
}
}  // namespace

Progress::Progress(int64_t total)
    : total_(total), terminal_(isatty(STDERR_FILENO)), start_(Clock::now()), last_(start_ - std::chrono::hours(1)) {}

Progress::~Progress() {
  if (drawn_) write_log("\n");
}

void Progress::erase() {
  if (drawn_) write_log("\r\033[K");
  drawn_ = false;
}

void Progress::say(const std::string& line) {
  erase();
  print_log("{}\n", line);
}

void Progress::show(int64_t done, const std::string& text, bool important) {
  const auto now = Clock::now();
  if (first_ < 0) first_ = done, start_ = now;                      // where a resumed run begins
  const double since = std::chrono::duration<double>(now - last_).count();
  if (done < total_ && !important && since < (terminal_ ? 0.1 : 30)) return;
  last_ = now;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  std::string left;                                                 // of what is known after the first
  if (done > first_ && done < total_)
    left = "  " + duration(elapsed / double(done - first_) * double(total_ - done)) + " left";
  const std::string line = fmt::format("{}/{}{}  {}", done, total_, left, text);
  if (!terminal_ || important) say(fitting(line, 80));
  if (!terminal_) return;
  const int filled = int(20 * done / std::max<int64_t>(1, total_));
  erase();
  write_log(
      fitting(fmt::format("[{:=<{}}{:<{}}] {}", "", filled, "", 20 - filled, line), columns_of(STDERR_FILENO) - 1));
  drawn_ = true;
}
