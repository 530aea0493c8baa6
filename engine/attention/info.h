// An attention function or linear family in words, for help, tables and checks.
// defines: AttentionFunctionInfo
#pragma once
#include <string>

struct AttentionFunctionInfo {
  std::string name, formula, source;
  // see AttentionFunction; the first: α matters
  bool scaled_by_length, shift_matters, scale_matters, homogeneous, always_positive;
  std::string number;                                                // likewise; empty: none
};
