// TIFF images, which pack turns into PNG.
// defines: decode_tiff
#pragma once
#include "data/image.h"

// The first image of the file as RGB of 8 bits; damage and what libtiff cannot read are data errors.
Image decode_tiff(std::span<const uint8_t> bytes);
