// An attention function or linear family in words, for help, tables and checks.
// defines: AttentionFunctionInfo
#pragma once
#include <string>

struct AttentionFunctionInfo {
  std::string name, formula, source;
  bool scaled_by_length, shift_matters, scale_matters, homogeneous, always_positive;  // see AttentionFunction; the first: α matters
  std::string number;                                                // likewise; empty: none
};
