// Progress on stderr: one line that is rewritten where stderr is a terminal, else a plain line every 30 seconds. No
// line is wider than the terminal, or 80 columns: the last of its parts, which two blanks divide, are left out.
// defines: Progress
#pragma once
#include <chrono>
#include <string>

class Progress {
 public:
  explicit Progress(int64_t total);
  ~Progress();                                             // ends the line
  // `done` of total; `text` follows the bar and the time that is left, which the first call begins to measure.
  // `important`: a line to keep, in a log and above the bar.
  void show(int64_t done, const std::string& text, bool important = false);
  // Something to keep, above the bar.
  void say(const std::string& line);

 private:
  using Clock = std::chrono::steady_clock;
  void erase();
  int64_t total_, first_ = -1;
  bool terminal_, drawn_ = false;
  Clock::time_point start_, last_;
};
