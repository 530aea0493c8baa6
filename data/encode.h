// Images to bytes.
// defines: encode_jpeg, encode_png
#pragma once
#include <string>

#include "data/image.h"

// Baseline JPEG; quality 1 to 100, chroma at half the resolution up to 90.
std::string encode_jpeg(const Image& image, int quality);

// The same pixels again when it is decoded.
std::string encode_png(const Image& image);
