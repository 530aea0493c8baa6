// What joins tokens before the blocks and parts them after: position embedding, class token, pooling.
// defines: add_position, prepend_token, repeat, mean_tokens, first_token
#pragma once
#include "engine/error.h"
#include "engine/ops/column_sums.h"

// y[b,i] = x[b,i] + position[i]; x[B,N,D], position[1,N,D]
struct AddPosition {
  real* y; const real *x, *position; int N, D;
  template <class Team> HD void operator()(Team team, size_t row) const {
    const real* p = position + row % N * D;
    team.each(D, [&](int c) { y[row * D + c] = x[row * D + c] + p[c]; });
  }
};
inline Tensor add_position(Tape& t, Tensor x, Tensor position) {
  const int B = x.shape[0], N = x.shape[1], D = x.shape[2];
  if (position.shape != Shape{1, N, D})
    fail(ExitCode::failed, "add_position: position embedding is {}, expected [1, {}, {}]", position.shape.text(), N, D);
  Tensor y = t.make("add_position", x.shape, {x, position});
  t.device.rows(size_t(B) * N, AddPosition{t.value(y), t.value(x), t.value(position), N, D});
  t.on_backward(y, [=, &t] {
    add_column_sums(t, position, Values{t.gradient(y), size_t(N) * D}, B);
    t.pass_gradient(y, x);
  });
  return y;
}

// y[B,1+N,D]: the token [1,1,D] before the tokens of each image x[B,N,D]
struct PrependToken {
  real* y; const real *token, *x; int N, D;
  template <class Team> HD void operator()(Team team, size_t row) const {
    const size_t b = row / (N + 1), i = row % (N + 1);
    const real* from = i ? x + (b * N + i - 1) * D : token;
    team.each(D, [&](int c) { y[row * D + c] = from[c]; });
  }
};
struct PrependTokenBackward {
  real* dx; const real* dy; int N, D; int add;
  template <class Team> HD void operator()(Team team, size_t row) const {
    const real* from = dy + (row + row / N + 1) * D;
    team.each(D, [&](int c) { dx[row * D + c] = previous(add, dx[row * D + c]) + from[c]; });
  }
};
inline Tensor prepend_token(Tape& t, Tensor token, Tensor x) {
  const int B = x.shape[0], N = x.shape[1], D = x.shape[2];
  if (token.shape != Shape{1, 1, D})
    fail(ExitCode::failed, "prepend_token: token is {}, expected [1, 1, {}]", token.shape.text(), D);
  Tensor y = t.make("prepend_token", {B, N + 1, D}, {token, x});
  t.device.rows(size_t(B) * (N + 1), PrependToken{t.value(y), t.value(token), t.value(x), N, D});
  t.on_backward(y, [=, &t] {
    add_column_sums(t, token, Values{t.gradient(y), size_t(N + 1) * D}, B);
    const Gradient dx = t.add_gradient(x);
    t.device.rows(size_t(B) * N, PrependTokenBackward{dx.data, t.gradient(y), N, D, dx.add});
  });
  return y;
}

// y[B,1,D]: one token [1,1,D] for every image
struct Repeat {
  real* y; const real* token; int D;
  HD void operator()(size_t i) const { y[i] = token[i % D]; }
};
inline Tensor repeat(Tape& t, Tensor token, int B) {
  const int D = token.shape.last();
  Tensor y = t.make("repeat", {B, 1, D}, {token});
  t.device.each(y.shape.size(), Repeat{t.value(y), t.value(token), D});
  t.on_backward(y, [=, &t] { add_column_sums(t, token, Values{t.gradient(y), size_t(D)}, B); });
  return y;
}

// y[B,D] = mean over the tokens of x[B,L,D]
struct MeanTokens {                                    // a team has one of `slices` ranges of channels
  real* y; const real* x; int L, D, slices, width;
  template <class Team> HD void operator()(Team team, size_t i) const {
    const size_t b = i / slices;
    const int column = int(i % slices) * width, columns = column + width < D ? width : D - column;
    real* to = y + b * D + column;
    team.columns(b * L, (b + 1) * L, columns, to, [&](size_t row, int c) { return x[row * D + column + c]; });
    team.each(columns, [&](int c) { to[c] /= L; });
  }
};
struct MeanTokensBackward {
  real* dx; const real* dy; int L, D; int add;
  template <class Team> HD void operator()(Team team, size_t row) const {
    const real *from = dy + row / L * D, share = real(1) / L;
    team.each(D, [&](int c) { dx[row * D + c] = previous(add, dx[row * D + c]) + share * from[c]; });
  }
};
inline Tensor mean_tokens(Tape& t, Tensor x) {
  const int B = x.shape[0], L = x.shape[1], D = x.shape[2];
  Tensor y = t.make("mean_tokens", {B, D}, {x});
  const int width = std::min(D, t.device.column_teams(B, D).columns), slices = (D + width - 1) / width;
  t.device.rows(size_t(B) * slices, MeanTokens{t.value(y), t.value(x), L, D, slices, width});
  t.on_backward(y, [=, &t] {
    const Gradient dx = t.add_gradient(x);
    t.device.rows(size_t(B) * L, MeanTokensBackward{dx.data, t.gradient(y), L, D, dx.add});
  });
  return y;
}

// y[B,D] = x[:,0,:] of x[B,L,D]
struct FirstToken {
  real* y; const real* x; int L, D;
  HD void operator()(size_t i) const { y[i] = x[i / D * L * D + i % D]; }
};
struct FirstTokenBackward {
  real* dx; const real* dy; int L, D;
  HD void operator()(size_t i) const { dx[i / D * L * D + i % D] += dy[i]; }
};
inline Tensor first_token(Tape& t, Tensor x) {
  const int B = x.shape[0], L = x.shape[1], D = x.shape[2];
  Tensor y = t.make("first_token", {B, D}, {x});
  t.device.each(y.shape.size(), FirstToken{t.value(y), t.value(x), L, D});
  t.on_backward(
      y, [=, &t] { t.device.each(y.shape.size(), FirstTokenBackward{t.add_into_gradient(x), t.gradient(y), L, D}); });
  return y;
}
