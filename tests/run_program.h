// train, eval and pack as a user has them: child processes with a time limit, on a small drawn set.
// defines: Flags, read_text, common_folder, has_gnuplot, fetches, Ended, Child, run_program, train, eval, drawn_set,
//   train_flags, eval_flags,
//          snapshot, check_same_tensors, check_same_run
#pragma once
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "engine/safetensors.h"
#include "tests/temp_dir.h"

using Flags = std::map<std::string, std::string>;    // a flag without a value has ""; no two of a name

inline std::string read_text(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

// The programs lie in $RELUCENT_BUILD, else in the folder above the one of this binary (build/tests/run).
inline std::filesystem::path program(const std::string& name) {
  static const std::filesystem::path folder = [] {    // also from other folders
    const char* build = std::getenv("RELUCENT_BUILD");
    return build ? std::filesystem::absolute(build)
                 : std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path();
  }();
  return folder / name;
}

// A folder for this process: the drawn set, and the index cache in place of the user's own.
inline const std::filesystem::path& common_folder() {
  static const TempDir folder;
  return folder.path();
}

inline bool has_gnuplot() {
  static const bool has = std::system("gnuplot --version > /dev/null 2>&1") == 0;
  if (!has) MESSAGE("skipped: pages, for want of gnuplot");
  return has;
}

// Whether an address stands in a page that is more than the name of a format: then something would be fetched.
inline bool fetches(std::string page) {
  for (size_t at; (at = page.find("http://www.w3.org/")) != page.npos;) page.erase(at, sizeof "http://www.w3.org/" - 1);
  return page.find("http") != page.npos;
}

struct Ended {
  int code;    // of exit, or 128 + signal
  std::string out, err;
};

// What it writes to stderr goes through a pipe of one page, so that with --log-every 1 it is at most some 40 steps
// ahead of what the test has seen, however late the test looks.
class Child {
 public:
  // `file_limit` is the largest file that it can write, in bytes.
  Child(const std::string& name, const std::vector<std::string>& arguments, std::optional<rlim_t> file_limit = {}) {
    const std::string path = program(name);
    ::setenv("XDG_CACHE_HOME", (common_folder() / "cache").c_str(), 1);
    std::vector<char*> argv = {const_cast<char*>(path.c_str())};
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    const std::string out = output_.path() / "out";
    REQUIRE_MESSAGE(::access(path.c_str(), X_OK) == 0, path << " is not built; set RELUCENT_BUILD");

    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    ::fcntl(err_pipe_ = ends[0], F_SETFL, O_NONBLOCK);
    ::fcntl(ends[1], F_SETPIPE_SZ, 4096);
    pid_ = ::fork();
    if (pid_ != 0) ::close(ends[1]);
    REQUIRE(pid_ >= 0);
    if (pid_ > 0) return;
    ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT, 0600), STDOUT_FILENO);
    ::dup2(ends[1], STDERR_FILENO);
    if (file_limit) {
      const rlimit limit{*file_limit, *file_limit};
      ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    for (int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU})
      std::signal(number, SIG_DFL);  // as from a terminal, however the tests were started
    ::execv(path.c_str(), argv.data());
    ::_exit(127);
  }
  Child(const Child&) = delete;
  ~Child() {
    if (!ended()) signal(SIGKILL);
    while (!ended()) pause();
    ::close(err_pipe_);
  }

  pid_t id() const { return pid_; }
  void signal(int number) const {
    if (!ended_) ::kill(pid_, number);
  }
  // By SIGSTOP; returns when all its threads stand still.
  void stop() const {
    signal(SIGSTOP);
    siginfo_t info;
    REQUIRE(::waitid(P_PID, id_t(pid_), &info, WSTOPPED | WEXITED | WNOWAIT) == 0);
  }
  const std::string& err() {
    char page[4096];
    for (ssize_t count; (count = ::read(err_pipe_, page, sizeof page)) > 0;) err_.append(page, size_t(count));
    return err_;
  }

  // Looks every millisecond whether `happened`; a child that ends before it, or takes five minutes, fails the test.
  template <class Happened>
  void wait_until(Happened happened) {
    for (;;) {
      const bool over = ended();
      if (happened()) return;
      if (over) FAIL("it ended too early: ", err());
      pause_in_time();
    }
  }
  Ended wait() {
    while (!ended()) pause_in_time();
    return {WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_), read_text(output_.path() / "out"),
            err()};
  }
  bool ended() {
    err();
    if (!ended_) ended_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
    return ended_;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static void pause() { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }
  void pause_in_time() {
    if (Clock::now() > start_ + std::chrono::minutes(5)) FAIL("it takes more than five minutes: ", err());
    pause();
  }

  TempDir output_;
  int err_pipe_;
  std::string err_;
  Clock::time_point start_ = Clock::now();
  pid_t pid_;
  int status_ = 0;
  bool ended_ = false;
};

inline std::vector<std::string> arguments_of(const Flags& flags) {
  std::vector<std::string> arguments;
  for (const auto& [flag, value] : flags) {
    arguments.push_back(flag);
    if (!value.empty()) arguments.push_back(value);
  }
  return arguments;
}
inline Ended run_program(const std::string& name, const std::vector<std::string>& arguments) {
  return Child(name, arguments).wait();
}
inline Ended train(const Flags& flags, std::optional<rlim_t> file_limit = {}) {
  return Child("train", arguments_of(flags), file_limit).wait();
}
inline Ended eval(const std::string& subcommand, const Flags& flags) {
  std::vector<std::string> arguments = arguments_of(flags);
  arguments.insert(arguments.begin(), subcommand);
  return run_program("eval", arguments);
}

// 60 training and 12 validation pictures of 16x16 in ten classes, in one shard each.
inline const std::filesystem::path& drawn_set() {
  static const std::filesystem::path folder = [] {
    const Ended pack =
        run_program("pack", {"drawn", "--out", common_folder() / "drawn", "--images", "60", "--size", "16"});
    REQUIRE_MESSAGE(pack.code == 0, pack.err);
    return common_folder() / "drawn";
  }();
  return folder;
}

// A model of 6634 parameters; `more` adds flags or replaces them.
inline Flags train_flags(const std::filesystem::path& out, Flags more = {}) {
  more.merge(Flags{{"--train", drawn_set() / "train-*.tar"}, {"--out", out}, {"--image-size", "16"}, {"--patch", "8"},
                   {"--width", "16"}, {"--depth", "1"}, {"--heads", "2"}, {"--batch", "8"}, {"--steps", "20"},
                   {"--log-every", "1"}, {"--threads", "1"}});
  return more;
}
inline Flags eval_flags(const std::filesystem::path& checkpoint, Flags more = {}) {
  more.merge(Flags{{"--checkpoint", checkpoint}, {"--threads", "1"}});
  return more;
}

// Every file below a folder with its bytes: what must not change.
inline std::map<std::string, std::string> snapshot(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files[entry.path().lexically_relative(folder)] = read_text(entry.path());
  return files;
}

// The same tensors bit for bit; metadata may differ (the time that was spent).
inline void check_same_tensors(const std::filesystem::path& a, const std::filesystem::path& b) {
  const SafeTensors first(a), second(b);
  REQUIRE(first.tensors().size() == second.tensors().size());
  for (const auto& [name, tensor] : first.tensors()) {
    CAPTURE(name);
    const StoredTensor& other = second.at(name);
    CHECK(tensor.dtype == other.dtype);
    CHECK(tensor.shape == other.shape);
    CHECK(std::equal(tensor.bytes.begin(), tensor.bytes.end(), other.bytes.begin(), other.bytes.end()));
  }
}
inline void check_same_run(const std::filesystem::path& a, const std::filesystem::path& b) {
  for (const char* file : {"last.safetensors", "last.state"}) check_same_tensors(a / file, b / file);
}
