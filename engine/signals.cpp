#include "engine/signals.h"
#include <unistd.h>
#include <atomic>
#include <csignal>
#include <ctime>
#include <thread>

namespace {
sigset_t waited_for;                   // none before catch_signals()
std::atomic<int> caught = 0;

void take(int signal) {
  if (caught && (signal == SIGINT || signal == SIGTERM)) _exit(128 + signal);
  caught = signal;
}
}  // namespace

void ignore_write_signals() {
  for (int signal : {SIGPIPE, SIGXFSZ}) std::signal(signal, SIG_IGN);
}

// A thread waits for them, instead of a handler that would interrupt a product: oneDNN's generated code keeps values below
// the stack pointer, where a handler's frame would overwrite them.
void catch_signals() {
  ignore_write_signals();
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {
    struct sigaction now;
    sigaction(signal, nullptr, &now);
    if (now.sa_handler != SIG_IGN) sigaddset(&waited_for, signal);
  }
  pthread_sigmask(SIG_BLOCK, &waited_for, nullptr);      // for every thread that starts later, too
  std::thread([] {
    for (int signal;;)
      if (sigwait(&waited_for, &signal) == 0) take(signal);
  }).detach();
}

// Looks for itself: on a busy machine the thread may wake a few steps late.
int caught_signal() {
  const timespec now{};
  if (const int signal = sigtimedwait(&waited_for, nullptr, &now); signal > 0) take(signal);
  return caught == SIGHUP ? SIGTERM : caught.load();
}
