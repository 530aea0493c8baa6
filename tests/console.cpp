// A log that cannot be written changes nothing; a result that cannot be is exit code 1, whichever program prints it.
#include <pty.h>

#include "engine/metrics.h"
#include "engine/progress.h"
#include "engine/text.h"
#include "tests/error_of.h"
#include "tests/run_program.h"
#include "tests/tar_builder.h"

namespace {
namespace fs = std::filesystem;

enum class Stream { file, closed, full, no_reader, that_of_stdout };
const char* name_of(Stream stream) {
  constexpr const char* names[] = {"a file", "closed", "full", "a pipe without a reader", "that of stdout"};
  return names[int(stream)];
}

// In the child: makes `descriptor` that stream.
void attach(int descriptor, Stream stream, const fs::path& file) {
  int ends[2];
  ::close(descriptor);
  if (stream == Stream::closed) return;
  if (stream == Stream::that_of_stdout) ::dup2(STDOUT_FILENO, descriptor);
  int opened = -1;
  if (stream == Stream::file) opened = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (stream == Stream::full) opened = ::open("/dev/full", O_WRONLY);
  if (stream == Stream::no_reader && ::pipe(ends) == 0) ::close(ends[0]), opened = ends[1];
  if (opened >= 0 && opened != descriptor) ::dup2(opened, descriptor), ::close(opened);
}

// Runs a program to its end, its stdout and stderr being such streams.
Ended run_with(const std::string& name, const std::vector<std::string>& arguments, Stream out, Stream err) {
  TempDir dir;
  const std::string path = program(name);
  std::vector<char*> argv = {const_cast<char*>(path.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::setenv("XDG_CACHE_HOME", (common_folder() / "cache").c_str(), 1);
  ::setenv("GOMP_SPINCOUNT", "1000", 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::signal(SIGPIPE, SIG_DFL);
    attach(STDOUT_FILENO, out, dir.path() / "out");
    attach(STDERR_FILENO, err, dir.path() / "err");
    ::execv(path.c_str(), argv.data());
    ::_exit(127);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_text(dir.path() / "out"),
          read_text(dir.path() / "err")};
}

struct Command {
  std::string program;
  std::vector<std::string> arguments;
};

// Each prints a result in a way of its own. `out` is a folder for what they write.
std::vector<Command> commands(const fs::path& out) {
  const std::string weights = common_folder() / "console" / "last.safetensors";
  if (!fs::exists(weights)) REQUIRE(train(train_flags(common_folder() / "console")).code == 0);
  const std::string shards = drawn_set() / "train-*.tar";
  std::vector<Command> all = {
      {"train", arguments_of(train_flags(out / "run"))},
      {"train", {"--print-config", "--steps", "2", "--image-size", "32", "--width", "64", "--depth", "1"}},
      {"eval", {"report", common_folder() / "console"}},
      {"eval", {"report", "--json", common_folder() / "console"}},
      {"pack", {"drawn", "--out", out / "drawn", "--images", "10", "--size", "16"}},
      {"pack", {"check", shards}},
      {"pack", {"check", "--json", shards}},
      {"bench", {"roofline"}},
  };
  for (const char* subcommand : {"accuracy", "inspect"})
    for (const char* flag : {"", "--json"}) {
      std::vector<std::string> arguments = {subcommand, "--checkpoint", weights, "--data", shards, "--threads", "1"};
      if (subcommand == std::string("inspect")) arguments.insert(arguments.end(), {"--out", out / "inspected"});
      if (*flag) arguments.push_back(flag);
      all.push_back({"eval", arguments});
    }
  for (const char* name : {"train", "eval", "pack", "bench"}) all.push_back({name, {"--help"}});
  return all;
}

const Stream broken[] = {Stream::closed, Stream::full, Stream::no_reader};
}  // namespace

TEST_SUITE_BEGIN("console");

TEST_CASE("a log that cannot be written is dropped, and nothing else changes") {
  for (const Stream stream : broken) {
    TempDir dir;
    for (const Command& command : commands(dir.path())) {
      CAPTURE(command.program);
      CAPTURE(command.arguments[0]);
      CAPTURE(name_of(stream));
      const Ended ended = run_with(command.program, command.arguments, Stream::file, stream);
      CHECK(ended.code == 0);
      CHECK(!ended.out.empty());
    }
    check_same_run(common_folder() / "console", dir.path() / "run");
    CHECK(run_with("train", {"--train", "/"}, Stream::file, stream).code == 2);
    CHECK(run_with("pack", {"check", dir.path() / "none"}, Stream::file, stream).code == 3);
  }
}

TEST_CASE("a result that cannot be written is exit code 1 with the reason") {
  for (const Stream stream : broken) {
    TempDir dir;
    for (const Command& command : commands(dir.path())) {
      CAPTURE(command.program);
      CAPTURE(command.arguments[0]);
      CAPTURE(name_of(stream));
      const Ended ended = run_with(command.program, command.arguments, stream, Stream::file);
      CHECK(ended.code == 1);
      CHECK_MESSAGE(contains(ended.err, command.program + ": the result could not be written to stdout: "), ended.err);
    }
    check_same_run(common_folder() / "console", dir.path() / "run");
    for (const Command& command : commands(dir.path() / "both"))
      CHECK(run_with(command.program, command.arguments, stream, stream).code == 1);
  }
}

TEST_CASE("of a log and a result in one pipe nobody need read either") {
  TempDir dir;
  for (const Command& command : commands(dir.path()))
    CHECK(run_with(command.program, command.arguments, Stream::no_reader, Stream::that_of_stdout).code == 0);
  check_same_run(common_folder() / "console", dir.path() / "run");
  CHECK(run_with("train", {"--help"}, Stream::full, Stream::that_of_stdout).code == 1);
}

TEST_CASE("a header that a full disk kept from being written is there afterwards") {
  TempDir dir;
  const fs::path path = dir.path() / "rows.csv";
  for (const char* left : {"", "step,a", "step,a,b"}) {
    std::ofstream(path) << left;
    CsvLog(path, {"a", "b"}, 0);
    CsvLog(path, {"a", "b"}, 5).add(6, std::vector<double>{1, 2});
    CHECK(read_text(path) == "step,a,b\n6,1,2\n");
  }
}

TEST_CASE("on a terminal lines to keep stand above the bar, and neither is wider than it") {
  int ends[2];
  const winsize narrow{.ws_row = 24, .ws_col = 60, .ws_xpixel = 0, .ws_ypixel = 0};
  REQUIRE(::openpty(&ends[0], &ends[1], nullptr, nullptr, &narrow) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::dup2(ends[1], STDERR_FILENO);
    {
      Progress progress(300);
      progress.show(0, "update 1 of 300 is on its way");
      progress.show(1, "loss 2.5000  acc 12.3 %  1234.5 img/s  data 0 %  0.073 TFLOP/s (57 % of peak)", true);
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string shown;
  char page[4096];
  for (ssize_t size; (size = ::read(ends[0], page, sizeof page)) > 0;) shown.append(page, size_t(size));
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  CHECK(says(shown, {"[                    ] 0/300  update 1 of 300", "1/300", "loss 2.5000  acc 12.3 %  1234.5 img/s  data 0 %\r\n", "[                    ] 1/300"}));
  for (const std::string& line : split(shown, "\r")) CHECK(line.size() <= 3 + 80);
  CHECK(shown.substr(shown.rfind('[')).size() < 60 + 3);
}

TEST_SUITE_END();
