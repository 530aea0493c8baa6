// What is plotted of the statistics of heads: by layer in a look at one model, over time for one that trains.
// defines: HeadPlot, head_plots
#pragma once
#include <string>
#include <vector>

struct HeadPlot {
  std::string column;                  // of head_columns
  std::string title, y, look;          // the axis with its unit, and what to look for
  double scale = 1;
};

inline const std::vector<HeadPlot>& head_plots() {
  static const std::vector<HeadPlot> list = {
      {"row_sum_mean", "Row sums of A", "mean of Σ_j A_ij",
       "Softmax has 1 everywhere. Of order 1 is healthy; a sum that grows with the number of keys, or runs away in "
       "training, drowns what attention is added to. Odd functions (identity, tanh, cube) have it near 0, and their "
       "weights still differ."},
      {"keys", "Effective number of keys", "mean of 1/Σ p², keys",
       "p is |A_ij| / Σ_j |A_ij|. Near 1 a query looks at one key alone; near L it averages all of them."},
      {"entropy", "Entropy of the weights", "mean of -Σ p ln p, nats",
       "ln L is even attention. In training a sudden fall often comes before a loss that spikes."},
      {"zeros", "Weights that are 0", "% of weights",
       "Sparsity: relu has 50 % before training. A steady rise to 100 % is a head dying.", 100},
      {"dead_rows", "Dead rows", "% of queries", "Queries that take nothing from attention at all.", 100},
      {"duty", "Duty: slopes that are not 0", "% of scores",
       "The share of scores that learn when their weight should change. Softmax, gelu and sigmoid have 100 %; relu "
       "learns only where its weight is not 0.",
       100},
      {"gradient_ratio", "Gradient through the function", "‖dS‖/‖dA‖",
       "How much of the gradient of the weights reaches the scores, and so q and k. About L^-α times the slope is "
       "natural; far less, and queries and keys get little."},
      {"S_std", "Spread of the scores", "standard deviation of S",
       "Near 1 at initialisation. Growth sharpens attention; runaway growth is what qk-norm prevents."},
      {"distance", "Attention distance", "mean distance, pixels",
       "From a patch to those it looks at, by weight. Low layers often have near and far heads side by side; a flat "
       "line at the picture's mean distance means that place does not matter."},
      {"D_std", "D_i = Σ_j A_ij dA_ij", "standard deviation over rows",
       "What a change of the whole row's scale would change in the loss; softmax takes it off its gradient, pointwise "
       "functions do not."}};
  return list;
}
