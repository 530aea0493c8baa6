// What a JPEG file says of itself, before it is decoded.
// defines: complete_jpeg, check_jpeg, check_jpeg_size
#pragma once
#include <cstdint>
#include <span>
#include <vector>

// What other decoders add to files that leave it out: the standard Huffman tables (frames of motion JPEG have none),
// and numbers of their own for components that share one. True where something was added; `completed` is then the file.
bool complete_jpeg(std::span<const uint8_t> bytes, std::vector<uint8_t>& completed);

// Data error at what stb_image decodes wrongly without a word, takes on trust, or refuses with a reason that does not
// help. Comes before anything of stb_image reads the file. Returns the number of scans.
int64_t check_jpeg(std::span<const uint8_t> bytes);

// Data error at more pixels, or more scans over them, than so many bytes account for.
void check_jpeg_size(size_t bytes, int64_t pixels, int64_t scans);
