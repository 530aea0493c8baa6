#include "engine/signals.h"
#include <unistd.h>
#include <csignal>
#include <initializer_list>

namespace {
volatile std::sig_atomic_t caught = 0;
void on_signal(int signal) {
  if (caught && (signal == SIGINT || signal == SIGTERM)) _exit(128 + signal);
  caught = signal;
}
}  // namespace

void ignore_write_signals() {
  for (int signal : {SIGPIPE, SIGXFSZ}) std::signal(signal, SIG_IGN);
}

void catch_signals() {
  ignore_write_signals();
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1})
    if (std::signal(signal, on_signal) == SIG_IGN) std::signal(signal, SIG_IGN);
}

int caught_signal() { return caught == SIGHUP ? SIGTERM : caught; }
