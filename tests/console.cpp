// A log that cannot be written changes nothing; a result that cannot be is exit code 1, whichever program prints it.
#include <pty.h>

#include "data/encode.h"
#include "engine/metrics.h"
#include "engine/npy.h"
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

// CIFAR-100's binaries, a record each.
std::string cifar_archive() {
  const std::string record = std::string(2, '\0') + std::string(3072, 'x');
  std::string names;
  for (int i = 0; i < 100; i++) names += fmt::format("c{}\n", i);
  return tar_entry("c/train.bin", record) + tar_entry("c/test.bin", record) +
         tar_entry("c/fine_label_names.txt", names) + tar_end();
}

// Weights whose training was never disturbed.
const fs::path& undisturbed() {
  static const fs::path run = [] {
    REQUIRE(train(train_flags(common_folder() / "console", {{"--val", drawn_set() / "val-*.tar"}})).code == 0);
    return common_folder() / "console";
  }();
  return run;
}

// Every subcommand of every program, each with a result on stdout, and the ways in which it prints it. `out` is a
// folder for what they write.
std::vector<Command> commands(const fs::path& out) {
  fs::create_directories(out);
  const std::string run = undisturbed(), weights = run + "/last.safetensors", shards = drawn_set() / "train-*.tar";
  const std::string x = out / "x.npy", y = out / "y.npy", pictures = out / "pictures";
  write_npy(x, {2, 16, 16, 3}, std::vector<float>(2 * 16 * 16 * 3));
  write_npy(y, {2}, std::vector<int64_t>{3, 4});
  for (const char* name : {"a", "b"}) {
    fs::create_directories(pictures + "/" + name);
    for (const char* file : {"/1.jpg", "/2.jpg"})
      write_file(pictures + "/" + name + file, encode_jpeg({16, 16, std::vector<uint8_t>(16 * 16 * 3, 90)}, 90));
  }
  std::vector<Command> all = {
      {"train", arguments_of(train_flags(out / "run", {{"--val", drawn_set() / "val-*.tar"}}))},
      {"train", {"--print-config", "--steps", "2", "--image-size", "32", "--width", "64", "--depth", "1"}},
      {"eval", {"report", run}},
      {"eval", {"report", "--json", run}},
      {"pack", {"drawn", "--out", out / "drawn", "--images", "10", "--size", "16"}},
      {"pack", {"folder", pictures, "--out", out / "folder"}},
      {"pack", {"archive", drawn_set() / "train-0000.tar", "--out", out / "archive"}},
      {"pack",
       {"transfer", "cifar100", write_file(out / "cifar-100-binary.tar", cifar_archive()), "--out", out / "transfer"}},
      {"pack", {"check", shards}},
      {"pack", {"check", "--json", shards}},
      {"bench", {"roofline"}},
      {"train", {"--help-attention"}},
  };
  const std::vector<std::vector<std::string>> of_weights = {
      {"accuracy", "--data", shards},
      {"inspect", "--data", shards, "--out", out / "inspected"},
      {"confusion", "--data", shards, "--out", out / "confusion"},
      {"features", "--data", shards, "--out", out / "f.npy"},
      {"predict", pictures},
      {"predict", pictures, "--out", out / "p.csv"},
      {"gradients", "--input", x, "--labels", y},
      {"fewshot", "--task", "t=" + shards + "," + shards, "--shots", "1"},
      {"export", "--to", out / "e.npz"}};
  for (const std::vector<std::string>& of_each : of_weights)
    for (const char* json : {"", "--json"}) {
      std::vector<std::string> arguments = of_each;
      arguments.insert(arguments.end(), {"--checkpoint", weights, "--threads", "1"});
      if (*json) arguments.push_back(json);
      all.push_back({"eval", arguments});
    }
  for (const char* name : {"train", "eval", "pack", "bench"}) all.push_back({name, {"--help"}});
  return all;
}

const Stream broken[] = {Stream::closed, Stream::full, Stream::no_reader};
}  // namespace

TEST_SUITE_BEGIN("console");

TEST_CASE("every subcommand, where one of its streams or both cannot be written") {
  const struct { const char* what; bool out, err; int code; } cases[] = {
      {"a log is dropped, and nothing else changes", false, true, 0},
      {"a result is exit code 1 with the reason", true, false, 1},
      {"without a log the exit code tells it", true, true, 1}};
  for (const auto& c : cases)
    for (const Stream stream : broken) {
      TempDir dir;
      for (const Command& command : commands(dir.path())) {
        CAPTURE(c.what);
        CAPTURE(command.program);
        CAPTURE(command.arguments[0]);
        CAPTURE(name_of(stream));
        const Ended ended =
            run_with(command.program, command.arguments, c.out ? stream : Stream::file, c.err ? stream : Stream::file);
        CHECK_MESSAGE(ended.code == c.code, ended.err);
        CHECK(ended.out.empty() == c.out);
        if (c.out && !c.err)
          CHECK_MESSAGE(contains(ended.err, command.program + ": the result could not be written to stdout: "),
                        ended.err);
      }
      check_same_run(undisturbed(), dir.path() / "run");    // what it wrote is whole
      for (const char* file : {"p.csv", "confusion/report.html", "f.npy", "e.npz"})
        CHECK(fs::file_size(dir.path() / file) > 0);
      const Stream out = c.out ? stream : Stream::file, err = c.err ? stream : Stream::file;
      CHECK(run_with("train", {"--train", "/"}, out, err).code == 2);
      CHECK(run_with("pack", {"check", dir.path() / "none"}, out, err).code == 3);
    }
}

TEST_CASE("of a log and a result in one pipe nobody need read either") {
  TempDir dir;
  for (const Command& command : commands(dir.path()))
    CHECK(run_with(command.program, command.arguments, Stream::no_reader, Stream::that_of_stdout).code == 0);
  check_same_run(undisturbed(), dir.path() / "run");
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
  if (::openpty(&ends[0], &ends[1], nullptr, nullptr, &narrow) != 0) {
    MESSAGE("skipped: lines on a terminal, for want of one (", std::strerror(errno), "); /dev/pts is not mounted here");
    return;
  }
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
  CHECK(says(shown, {"[                    ] 0/300  update 1 of 300", "1/300",
                     "loss 2.5000  acc 12.3 %  1234.5 img/s  data 0 %\r\n", "[                    ] 1/300"}));
  for (const std::string& line : split(shown, "\r")) CHECK(line.size() <= 3 + 80);
  CHECK(shown.substr(shown.rfind('[')).size() < 60 + 3);
}

TEST_SUITE_END();
