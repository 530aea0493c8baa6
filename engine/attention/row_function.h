// φ on the rows of a tile, its struct forgotten: what attention does around it is compiled once, not for every
// function.
// defines: WeightsForward, TileRows, WeightsBackward, RowFunction, RowFunctionOf, row_function
#pragma once
#include <memory>
#include "engine/attention/learned.h"
#include "engine/device.h"

template <class F> struct WeightsForward {                    // A = φ(S), row by row; S becomes what φ sees
  real *A, *S; HeadFunction<F> f;
  template <class Team>
  HD void operator()(Team team, size_t row) const {
    f.forward(team, A + row * f.L, S + row * f.L);
  }
};
// Where the rows of a tile lie in [B,Lq,H].
struct TileRows {
  size_t first = 0; int rows = 1, Lq = 0, H = 0;
  HD size_t at(size_t row) const { return first + (row / rows * Lq + row % rows) * H; }
};
template <class F> struct WeightsBackward {                   // dS = φ'(S; A, dA); parts[B,Lq,H] of what is learned
  real* dS; const real *dA, *A, *S; HeadFunction<F> f; Learned<real*> parts; TileRows place;
  template <class Team> HD void operator()(Team team, size_t row) const {
    f.backward(team, dS + row * f.L, dA + row * f.L, A + row * f.L, S + row * f.L, parts, place.at(row));
  }
};

// S, A and their gradients are [rows, L]. `learned` is that of the tile's head.
struct RowFunction {
  const bool scaled_by_length, has_number;                    // see AttentionFunction
  virtual ~RowFunction() = default;
  virtual void forward(Tile& tile, size_t rows, real* A, real* S, int L,
                       const Learned<const real*>& learned = {}) const = 0;
  virtual void backward(Tile& tile, size_t rows, real* dS, const real* dA, const real* A, const real* S, int L,
                        const Learned<const real*>& learned = {}, const Learned<real*>& parts = {},
                        TileRows place = {}) const = 0;

 protected:
  RowFunction(bool scaled, bool number) : scaled_by_length(scaled), has_number(number) {}
};
template <class F> struct RowFunctionOf final : RowFunction {
  const F f;
  explicit RowFunctionOf(F function) : RowFunction(F::scaled_by_length, !F::number.empty()), f(function) {}
  void forward(Tile& tile, size_t rows, real* A, real* S, int L, const Learned<const real*>& learned) const override {
    tile.rows(rows, WeightsForward<F>{.A = A, .S = S, .f = {f, L, learned}});
  }
  void backward(Tile& tile, size_t rows, real* dS, const real* dA, const real* A, const real* S, int L,
                const Learned<const real*>& learned, const Learned<real*>& parts, TileRows place) const override {
    tile.rows(rows, WeightsBackward<F>{.dS = dS,
                                        .dA = dA,
                                        .A = A,
                                        .S = S,
                                        .f = {f, L, learned},
                                        .parts = parts,
                                        .place = place});
  }
};

// The function of AttentionFunctions that is called `name`, made for α and L; a usage error if there is none.
inline std::shared_ptr<const RowFunction> row_function(std::string_view name, double alpha, int L) {
  std::shared_ptr<const RowFunction> function;
  AttentionFunctions::visit_known(name, alpha, L,
                                  [&](auto f) { function = std::make_shared<RowFunctionOf<decltype(f)>>(f); });
  return function;
}
