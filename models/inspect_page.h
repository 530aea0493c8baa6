// The page of an inspection: words, numbers by layer, histograms of each head, maps over pictures, parameters.
// defines: PageInput, inspection_page
#pragma once
#include "models/inspect.h"
#include "models/maps.h"

struct PageInput {
  const Inspection& inspection;
  std::string model, source, loss;               // what was inspected, on what, and of which loss the gradients are
  std::vector<std::string> words;
  std::span<const uint8_t> pixels;               // [N, S, S, 3]
  std::vector<std::string> labels;               // of the pictures
  int pictures;                                  // the first so many, whose A was kept
  std::vector<int> layers;                       // whose maps are shown
  std::vector<Query> queries;
};

std::string inspection_page(const PageInput& input);
