// A signal is known from the moment it was sent, whichever thread the system wakes for it.
#include "engine/signals.h"
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>
#include <chrono>
#include <csignal>
#include "data/index.h"
#include "engine/error.h"
#include "engine/optimizer.h"
#include "models/vit.h"
#include "tests/run_program.h"
#include "tests/synthetic.h"

namespace {
using Clock = std::chrono::steady_clock;

// In a process of its own: whether a signal is known `delay` after it was sent, while the thread that waits for it
// wakes.
bool is_known(std::chrono::nanoseconds delay) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) try {
    std::signal(SIGTERM, SIG_DFL);
    catch_signals();
    ::usleep(200);                        // its thread waits by now
    ::kill(::getpid(), SIGTERM);
    for (const auto end = Clock::now() + delay; Clock::now() < end;) {}
    ::_exit(caught_signal());
  } catch (...) {
    ::_exit(1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status) == SIGTERM;
}

// In a process of its own: the code of the error that work ends with where SIGTERM came before it.
template <class Work>
int code_of(Work work) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) try {
    std::signal(SIGTERM, SIG_DFL);
    catch_signals();
    ::kill(::getpid(), SIGTERM);
    work();
    ::_exit(0);
  } catch (const Error& error) {
    ::_exit(int(error.code));
  } catch (...) {
    ::_exit(1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
}  // namespace

TEST_SUITE_BEGIN("signals");

TEST_CASE("a signal is known as soon as it was sent") {
  int missed = 0;
  for (int i = 0; i < 1000; i++) missed += !is_known(std::chrono::nanoseconds(i * 60));
  CHECK(missed == 0);
}

TEST_CASE("a signal ends the indexing of data, and the building of a model, its moments and its average") {
  const std::filesystem::path shards = drawn_set(), classes = common_folder() / "classes";
  for (const char* name : {"a", "b"}) {
    std::filesystem::create_directories(classes / name);
    std::ofstream(classes / name / "x.jpg") << "x";
  }
  CHECK(code_of([&] { Index::open((shards / "train-*.tar").string(), ""); }) == 143);
  CHECK(code_of([&] { Index::open(classes.string(), ""); }) == 143);
  CHECK(code_of([] {
    const auto device = make_cpu(1);
    ViT(*device, small_vit("relu")).initialise(0);
  }) == 143);
  const auto with_parameters = [](auto make) {
    return code_of([make] {
      const auto device = make_cpu(1);
      Parameters parameters(*device, {{"x", {3}, false}});
      make(parameters);
    });
  };
  CHECK(with_parameters([](Parameters&) {}) == 0);
  CHECK(with_parameters([](Parameters& parameters) { Adam(parameters, {}); }) == 143);
  CHECK(with_parameters([](Parameters& parameters) { MovingAverage(parameters, 0.9); }) == 143);
}

TEST_SUITE_END();
