// A number for each of red, green and blue.
// defines: Channels
#pragma once
#include <array>

using Channels = std::array<float, 3>;
