// SIGINT, SIGTERM, SIGHUP, and what batch systems warn with (SIGUSR1, SIGUSR2, SIGXCPU) ask a program to finish its
// step, save and end; a second SIGINT or SIGTERM ends it at once.
// defines: catch_signals, caught_signal, stop_if_asked, ignore_write_signals
#pragma once

void ignore_write_signals();             // SIGPIPE, SIGXFSZ: the write reports the error
void catch_signals();                    // before other threads start; what is ignored already (nohup) stays so
int caught_signal();                     // 0 while there is none; the exit code is 128 + this
void stop_if_asked();                    // before there is anything to save: fails with that exit code if there is one
