#include "engine/signals.h"
#include <unistd.h>
#include <atomic>
#include <csignal>
#include <thread>

namespace {
std::atomic<int> caught = 0;

void wait_for_signals(const sigset_t& signals) {
  for (int signal;;) {
    if (sigwait(&signals, &signal) != 0) continue;
    if (caught && (signal == SIGINT || signal == SIGTERM)) _exit(128 + signal);
    caught = signal;
  }
}
}  // namespace

void ignore_write_signals() {
  for (int signal : {SIGPIPE, SIGXFSZ}) std::signal(signal, SIG_IGN);
}

// A thread waits for them, instead of a handler that would interrupt a product: oneDNN's generated code keeps values below
// the stack pointer, where a handler's frame would overwrite them.
void catch_signals() {
  ignore_write_signals();
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {
    struct sigaction now;
    sigaction(signal, nullptr, &now);
    if (now.sa_handler != SIG_IGN) sigaddset(&signals, signal);
  }
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);      // for every thread that starts later, too
  std::thread(wait_for_signals, signals).detach();
}

int caught_signal() { return caught == SIGHUP ? SIGTERM : caught.load(); }
