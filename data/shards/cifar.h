// CIFAR-10 and CIFAR-100 as their binary files: records of labels and 32x32 pixels.
// defines: cifar_pixels, cifar100_labels, decode_cifar
#pragma once
#include <span>

#include "data/image.h"

constexpr size_t cifar_pixels = 3 * 32 * 32, cifar100_labels = 2;    // bytes of a record; in CIFAR-10 one label

// The planes of a record, red, green and blue, as an image.
Image decode_cifar(std::span<const uint8_t> planes);
