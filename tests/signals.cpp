// A signal is known from the moment it was sent, whichever thread the system wakes for it.
#include "engine/signals.h"
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>
#include <chrono>
#include <csignal>

namespace {
using Clock = std::chrono::steady_clock;

// In a process of its own: whether a signal is known `delay` after it was sent, while the thread that waits for it wakes.
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
}  // namespace

TEST_SUITE_BEGIN("signals");

TEST_CASE("a signal is known as soon as it was sent") {
  int missed = 0;
  for (int i = 0; i < 1000; i++) missed += !is_known(std::chrono::nanoseconds(i * 60));
  CHECK(missed == 0);
}

TEST_SUITE_END();
