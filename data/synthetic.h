// The demo set: drawn pictures of ten shapes, so that training can be tried without downloading anything.
// Place, size, turn, colours, background and clutter are random and say nothing about the class; only the shape does.
// defines: drawn_classes, draw_picture, write_drawn_set
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>

#include "data/image.h"
#include "engine/random.h"

constexpr std::array<const char*, 10> drawn_classes = {"disc",  "ring",     "square", "triangle", "star",
                                                       "cross", "crescent", "dots",   "stripes",  "checker"};

Image draw_picture(int label, int size, Random& random);

// Writes train-NNNN.tar with `images` pictures, val-NNNN.tar with `validation` others, and classes.txt. Classes are
// balanced and mixed; the same seed gives the same bytes.
void write_drawn_set(const std::filesystem::path& dir, uint64_t images, uint64_t validation, int size, uint64_t seed);
