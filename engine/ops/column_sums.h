// Sums over rows in a fixed order, for the gradients of what every row shares: biases, scales, position embeddings.
// Rows are summed in chunks and the chunks in order, so the result does not depend on the number of threads.
// defines: add_sum_of_chunks, add_column_sums, Values, RoundedValues, RoundingValues, row_values
#pragma once
#include <algorithm>
#include "engine/ops/elementwise.h"
#include "engine/tape.h"

// A term that also writes: apart from reading it, so that a team reads rows ahead.
template <class Term> concept KeepsTerms = requires(const Term& term, size_t row, real x) { term.keep(row, 0, x); };

// partial[chunk, C] = sum over the chunk's rows of term(row, c); a team has one of `slices` ranges of columns
template <class Term> struct ColumnSumsOfChunk {
  real* partial; Term term; size_t rows; int chunk_rows, C, slices, width;
  template <class Team> HD void operator()(Team team, size_t i) const {
    const size_t chunk = i / slices, first = chunk * chunk_rows,
                 end = first + chunk_rows < rows ? first + chunk_rows : rows;
    const int column = int(i % slices) * width, columns = column + width < C ? width : C - column;
    team.columns(
        first, end, columns, partial + chunk * C + column, [&](size_t row, int c) { return term(row, column + c); },
        [&](size_t row, int c, real x) {
          if constexpr (KeepsTerms<Term>) term.keep(row, column + c, x);
        });
  }
};
// sums[c] += the chunks' sums, `width` columns a team; their total comes into one more row of partial
struct SumOfChunks {
  real *sums, *partial; int chunks, C, width, add;
  template <class Team> HD void operator()(Team team, size_t slice) const {
    const int column = int(slice) * width, columns = column + width < C ? width : C - column;
    real *total = partial + size_t(chunks) * C + column, *to = sums + column;
    const real* from = partial + column;
    team.columns(0, chunks, columns, total, [&](size_t chunk, int c) { return from[chunk * C + c]; });
    team.each(columns, [&](int c) { to[c] = previous(add, to[c]) + total[c]; });
  }
};

struct Values {                                        // the term x[row, c]; rows start `stride` apart
  const real* x; size_t stride;
  HD real operator()(size_t row, int c) const { return x[row * stride + c]; }
};

struct RoundedValues {                                 // the same of rounded values
  const bf16* x; size_t stride;
  HD real operator()(size_t row, int c) const { return from_bf16(x[row * stride + c]); }
};
inline Values row_values(const real* x, int C) { return {x, size_t(C)}; }
inline RoundedValues row_values(const bf16* x, int C) { return {x, size_t(C)}; }
struct RoundingValues {                                // the term x[row, c] of contiguous rows, left rounded on the way
  bf16* rounded; const real* x; size_t stride;
  HD real operator()(size_t row, int c) const { return x[row * stride + c]; }
  HD void keep(size_t row, int c, real value) const { rounded[row * stride + c] = to_bf16(float(value)); }
};

// d shared[C] += the sum of partial[chunks, C], which has room for one more row
inline void add_sum_of_chunks(Tape& t, Tensor shared, real* partial, int chunks) {
  const int C = int(shared.shape.size()), last = std::min(C, t.device.column_teams(chunks, C).last);
  const Gradient sums = t.add_gradient(shared);
  t.device.rows((C + last - 1) / last, SumOfChunks{sums.data, partial, chunks, C, last, sums.add});
}

// d shared[C] += sum over rows of term(row, c); nothing where `shared` wants no gradient
template <class Term> void add_column_sums(Tape& t, Tensor shared, Term term, size_t rows) {
  if (!t.wants_gradient(shared)) return;
  const int C = int(shared.shape.size());
  const ColumnTeams teams = t.device.column_teams(rows, C);
  const int chunks = int((rows + teams.rows - 1) / teams.rows), width = std::min(C, teams.columns),
            slices = (C + width - 1) / width;
  const Temporary<real> partial = t.temporary<real>(size_t(chunks + 1) * C);
  t.device.rows(size_t(chunks) * slices,
                ColumnSumsOfChunk<Term>{partial.data, term, rows, teams.rows, C, slices, width});
  add_sum_of_chunks(t, shared, partial.data, chunks);
}
