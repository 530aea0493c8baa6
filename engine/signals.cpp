#include "engine/signals.h"
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <mutex>
#include <system_error>
#include <thread>
#include "engine/error.h"

namespace {
sigset_t waited_for;                   // none before catch_signals()
int caught = 0;
std::mutex taking;                     // a signal is pending or in `caught`, for whoever asks

int take_pending() {
  const std::lock_guard lock(taking);
  const timespec now{};
  for (int signal; (signal = sigtimedwait(&waited_for, nullptr, &now)) > 0; caught = signal)
    if (caught && (signal == SIGINT || signal == SIGTERM)) _exit(128 + signal);
  return caught;
}
}  // namespace

void ignore_write_signals() {
  for (int signal : {SIGPIPE, SIGXFSZ}) std::signal(signal, SIG_IGN);
}

// A thread waits for them, instead of a handler that would interrupt a product: oneDNN's generated code keeps values
// below the stack pointer, where a handler's frame would overwrite them.
void catch_signals() {
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU}) {
    struct sigaction now;
    sigaction(signal, nullptr, &now);
    if (now.sa_handler != SIG_IGN) sigaddset(&waited_for, signal);
  }
  pthread_sigmask(SIG_BLOCK, &waited_for, nullptr);      // for every thread that starts later, too
  const int pending = signalfd(-1, &waited_for, SFD_CLOEXEC);
  if (pending < 0) fail(ExitCode::failed, "cannot wait for signals: {}", std::strerror(errno));
  try {
    std::thread([pending] {
      for (pollfd look{pending, POLLIN, 0};;)
        if (poll(&look, 1, -1) == 1) take_pending();     // if it still is: caught_signal() may have been first
    }).detach();
  } catch (const std::system_error& error) {
    fail(ExitCode::failed, "cannot start a thread that waits for signals: {}", error.code().message());
  }
}

// Looks for itself: on a busy machine the thread may wake a few steps late.
int caught_signal() {
  const int signal = take_pending();
  return signal == SIGHUP ? SIGTERM : signal;
}

void stop_if_asked() {
  if (const int signal = caught_signal())
    fail(ExitCode(128 + signal), "stopped by signal {} before training began; nothing was changed", signal);
}
