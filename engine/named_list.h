// Types that are told apart by name: each has a `name`, and a list of them is one word a type.
// defines: NamedList
#pragma once
#include <string>
#include <string_view>
#include <vector>
#include "engine/error.h"

template <class... F>
struct NamedList {
  static std::vector<std::string> names() { return {std::string(F::name)...}; }
  // calls f.template operator()<F>() with the type called `name`; false if there is none
  template <class Call>
  static bool visit(std::string_view name, Call f) {
    return ((name == F::name && (f.template operator()<F>(), true)) || ...);
  }
  // the same, but a failure that says who asked if there is none
  template <class Call>
  static void visit_known(const char* asking, std::string_view name, Call f) {
    if (!visit(name, f)) fail(ExitCode::failed, "{}: there is no function '{}'", asking, name);
  }
  template <template <class> class Kernels, template <class...> class List>
  using Each = List<Kernels<F>...>;
};
