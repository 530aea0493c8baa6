// A CPU thread as the team that runs a body: loops over a row become SIMD code.
// defines: Thread, OnRows, run_elements, run_row, run_rows, run_piece
#pragma once
#include <concepts>
#include "engine/device.h"
#include "engine/kernels.h"

// A team of one thread; its loops become SIMD code.
struct Thread {
  template <class F> [[gnu::always_inline]] auto sum(int n, F f) const {
    decltype(f(0)) s = 0;
#pragma omp simd reduction(+ : s)
    for (int i = 0; i < n; i++) s += f(i);
    return s;
  }
  template <class F> [[gnu::always_inline]] real max(int n, F f) const {
    real m = f(0);
#pragma omp simd reduction(max : m)
    for (int i = 1; i < n; i++) { const real x = f(i); m = m < x ? x : m; }
    return m;
  }
  template <class F> [[gnu::always_inline]] void each(int n, F f) const {
#pragma omp simd
    for (int i = 0; i < n; i++) f(i);
  }
  template <class Read, class Write> [[gnu::always_inline]] void each(int n, Read read, Write write) const {
    each(n, [=](int i) { write(i, read(i)); });
  }
  template <class F> void once(F f) const { f(); }
  // values[n] that are read more than once; a GPU keeps them in registers
  template <class T> T* held(T* values, int /*n*/) const { return values; }
  // a[c] and b[c] = sums over rows [first, end): the function that make(team) returns takes a row and add(c, of a, of
  // b) for each of its terms
  template <class Make>
  [[gnu::always_inline]] void two_column_sums(size_t first, size_t end, int width, real* a, real* b, Make make) const {
    each(width, [=](int c) { a[c] = 0, b[c] = 0; });
    const auto row = make(*this);
    for (size_t r = first; r < end; r++) row(r, [=](int c, real of_a, real of_b) { a[c] += of_a, b[c] += of_b; });
  }
  // sums[c] = Σ over rows [first, end) of f(row, c), each handed to keep(row, c, value)
  template <class F, class Keep = KeepNothing>
  [[gnu::always_inline]] void columns(size_t first, size_t end, int width, real* sums, F f, Keep keep = {}) const {
    each(width, [&](int c) { sums[c] = 0; });
    for (size_t row = first; row < end; row++)
      each(width, [&](int c) {
        const real x = f(row, c);
        keep(row, c, x);
        sums[c] += x;
      });
  }
};

template <class Body> concept OnRows = std::invocable<const Body&, Thread, size_t>;

// Flattened: all of a body becomes part of its loop, or the loop would not become SIMD code.
template <class Body> [[gnu::flatten]] void run_elements(const Body& fields, size_t first, size_t end) {
  const Body body = fields;
#pragma omp simd
  for (size_t i = first; i < end; i++) body(i);
}
template <class Body> [[gnu::flatten]] void run_row(const Body& body, size_t row) { body(Thread{}, row); }
template <class Body> void run_rows(const Body& body, size_t first, size_t end) {
  for (size_t row = first; row < end; row++) run_row(body, row);
}
template <class Then>
[[gnu::flatten]] void run_piece(const Then& then, const Gemm& piece, int first_row, int first_column) {
  for (int row = 0; row < piece.m; row++)
    then(Thread{}, size_t(first_row) + row, first_column, piece.n, piece.c + size_t(row) * piece.ldc);
}
