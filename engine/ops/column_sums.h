// Sums over rows in a fixed order, for the gradients of what every row shares: biases, scales, position embeddings.
// Rows are summed in chunks and the chunks in order, so the result does not depend on the number of threads.
// defines: add_column_sums, Values, RoundedValues, RoundingValues
#pragma once
#include <algorithm>
#include "engine/ops/elementwise.h"
#include "engine/tape.h"

inline constexpr size_t rows_per_chunk = 128;

// partial[chunk, C] = sum over the chunk's rows of term(row, c); a team has one of `slices` ranges of columns
template <class Term> struct ColumnSumsOfChunk {
  real* partial; Term term; size_t rows; int C, slices, width;
  template <class Team> HD void operator()(Team team, size_t i) const {
    const size_t chunk = i / slices, first = chunk * rows_per_chunk, end = first + rows_per_chunk < rows ? first + rows_per_chunk : rows;
    const int column = int(i % slices) * width, columns = column + width < C ? width : C - column;
    team.columns(first, end, columns, partial + chunk * C + column, [&](size_t row, int c) { return term(row, column + c); });
  }
};
struct SumOfChunks {
  real* sums; const real* partial; int chunks, C; int add;
  HD void operator()(size_t c) const {
    real s = 0;
    for (int chunk = 0; chunk < chunks; chunk++) s += partial[size_t(chunk) * C + c];
    sums[c] = previous(add, sums[c]) + s;
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
struct RoundingValues {                                // the term x[row, c] of contiguous rows, left rounded on the way
  bf16* rounded; const real* x; size_t stride;
  HD real operator()(size_t row, int c) const {
    const size_t i = row * stride + c;
    rounded[i] = to_bf16(float(x[i]));
    return x[i];
  }
};

// d shared[C] += sum over rows of term(row, c); nothing where `shared` wants no gradient
template <class Term> void add_column_sums(Tape& t, Tensor shared, Term term, size_t rows) {
  if (!t.wants_gradient(shared)) return;
  const int C = int(shared.shape.size()), chunks = int((rows + rows_per_chunk - 1) / rows_per_chunk);
  const Temporary<real> partial = t.temporary<real>(size_t(chunks) * C);
  const Gradient sums = t.add_gradient(shared);
  const int width = std::min(C, t.device.columns_per_team()), slices = (C + width - 1) / width;
  t.device.rows(size_t(chunks) * slices, ColumnSumsOfChunk<Term>{partial.data, term, rows, C, slices, width});
  t.device.each(C, SumOfChunks{sums.data, partial.data, chunks, C, sums.add});
}
