// SIGINT, SIGTERM, SIGHUP and SIGUSR1 ask a program to finish its step, save and end; a second SIGINT or SIGTERM ends it at once.
// defines: catch_signals, caught_signal
#pragma once

void catch_signals();                    // SIGPIPE and SIGXFSZ are ignored: writes report them as errors
int caught_signal();                     // 0 while there is none; the exit code is 128 + this
