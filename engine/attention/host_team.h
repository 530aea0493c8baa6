// A team that asks an attention function about one row in host memory, whatever the device.
// defines: HostTeam
#pragma once
#include <algorithm>
#include "engine/tensor.h"

struct HostTeam {
  template <class F> real sum(int n, F f) const { real s = 0; for (int i = 0; i < n; i++) s += f(i); return s; }
  template <class F>
  real max(int n, F f) const {
    real m = f(0);
    for (int i = 1; i < n; i++) m = std::max<real>(m, f(i));
    return m;
  }
  template <class F> void each(int n, F f) const { for (int i = 0; i < n; i++) f(i); }
  template <class F> void once(F f) const { f(); }
};
