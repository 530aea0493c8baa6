// CIFAR-10 and CIFAR-100 as their binary files: records of labels and 32x32 pixels.
// defines: cifar_pixels, cifar100_labels, is_cifar, scan_cifar, decode_cifar
#pragma once
#include <span>

#include "data/image.h"
#include "data/scan.h"

constexpr size_t cifar_pixels = 3 * 32 * 32, cifar100_labels = 2;    // bytes of a record; in CIFAR-10 one label

// data_batch_1.bin ... test_batch.bin (CIFAR-10), train.bin, test.bin (CIFAR-100)
bool is_cifar(const std::filesystem::path& path);

// CIFAR-100 has two labels a record: the second one, of the 100 classes, is taken.
Scan scan_cifar(const File& file);

// The planes of a record, red, green and blue, as an image.
Image decode_cifar(std::span<const uint8_t> planes);
