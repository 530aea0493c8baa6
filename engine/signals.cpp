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

void catch_signals() {
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) std::signal(signal, on_signal);
  for (int signal : {SIGPIPE, SIGXFSZ}) std::signal(signal, SIG_IGN);
}

int caught_signal() { return caught == SIGHUP ? SIGTERM : caught; }
