#include "data/jpeg.h"

#include <algorithm>
#include <bitset>
#include <cstring>
#include <numeric>
#include <utility>

#include "data/encode.h"
#include "engine/error.h"

namespace {
using Bytes = std::span<const uint8_t>;

struct JpegLayout {
  int process = -1;            // n of the start-of-frame marker SOFn
  int bits = 8;                // of a component of a pixel
  int components = 0;
  int adobe_transform = -1;    // of the APP14 segment; -1: none
  bool huffman_fits = true;    // no table has more than its 256 symbols, which stb_image 2.27 takes on trust
  std::bitset<256> scanned;    // the numbers of the components that are in any scan
  bool ended = false;          // has an end-of-image marker
  bool has_tables = false;     // Huffman tables
  size_t frame = 0;            // where the segment of the start of the frame lies, from its length on
  std::vector<size_t> scans;   // the same of the scans
};

JpegLayout jpeg_layout(Bytes bytes) {
  JpegLayout layout;
  for (size_t at = 2; at + 1 < bytes.size();) {
    const void* found = std::memchr(&bytes[at], 0xFF, bytes.size() - 1 - at);
    if (!found) break;
    at = size_t(static_cast<const uint8_t*>(found) - bytes.data()) + 1;
    const uint8_t marker = bytes[at];
    if (marker == 0xFF) continue;    // a fill byte: the marker comes later
    at++;
    if (marker == 0xD9) { layout.ended = true; break; }
    if (marker <= 0x01 || (marker >= 0xD0 && marker <= 0xD8)) continue;    // inside a scan, or without a segment
    if (at + 2 > bytes.size()) break;
    const Bytes rest = bytes.subspan(at), segment = rest.first(std::min<size_t>(rest[0] << 8 | rest[1], rest.size()));
    const size_t begin = std::exchange(at, at + std::max<size_t>(segment.size(), 2));
    layout.has_tables |= marker == 0xC4;
    if (marker == 0xDA) layout.scans.push_back(begin);
    if (marker == 0xC4)    // tables of class and number, 16 counts, symbols; a damaged one may reach into what follows
      for (size_t table = 2; table < segment.size();) {
        const Bytes counts = rest.subspan(table + 1, std::min<size_t>(16, rest.size() - table - 1));
        const int symbols = std::accumulate(counts.begin(), counts.end(), 0);
        layout.huffman_fits &= symbols <= 256;
        table += 17 + size_t(symbols);
      }
    const bool frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (frame && segment.size() > 7)
      layout.process = marker - 0xC0, layout.bits = segment[2], layout.components = segment[7], layout.frame = begin;
    if (marker == 0xEE && segment.size() > 13 && std::memcmp(&segment[2], "Adobe", 5) == 0)
      layout.adobe_transform = segment[13];
    if (marker == 0xDA && segment.size() > 2)
      for (size_t i = 3; i + 1 < std::min<size_t>(segment.size(), 3 + 2 * segment[2]); i += 2)
        layout.scanned.set(segment[i]);
  }
  return layout;
}

// The component's number, in the frame's segment and in a scan's.
size_t number_in_frame(const JpegLayout& layout, int component) { return layout.frame + 8 + 3 * size_t(component); }
size_t number_in_scan(size_t scan, int component) { return scan + 3 + 2 * size_t(component); }

bool shares_numbers(Bytes bytes, const JpegLayout& layout) {
  std::bitset<256> seen;
  for (int i = 0; i < layout.components; i++) {
    const size_t at = number_in_frame(layout, i);
    if (at >= bytes.size() || seen[bytes[at]]) return at < bytes.size();
    seen.set(bytes[at]);
  }
  return false;
}

// The segment with the standard tables (Annex K of the standard), as our own encoder writes it.
std::span<const uint8_t> standard_tables() {
  static const std::string jpeg = encode_jpeg({1, 1, {0, 0, 0}}, 90);
  const size_t at = jpeg.find("\xFF\xC4");
  const auto* segment = reinterpret_cast<const uint8_t*>(jpeg.data()) + at;
  return {segment, size_t(2 + (segment[2] << 8 | segment[3]))};
}
}  // namespace

bool complete_jpeg(Bytes bytes, std::vector<uint8_t>& completed) {
  const JpegLayout layout = jpeg_layout(bytes);
  const bool without_tables = !layout.has_tables && (layout.process == 0 || layout.process == 1);
  const bool sharing = layout.process >= 0 && shares_numbers(bytes, layout);
  if (!without_tables && !sharing) return false;
  std::vector<uint8_t> file(bytes.begin(), bytes.end());
  for (int i = 0; sharing && i < layout.components; i++) {
    if (const size_t at = number_in_frame(layout, i); at < file.size()) file[at] = uint8_t(i + 1);
    for (const size_t scan : layout.scans)    // those of all components, whose order tells which is which
      if (number_in_scan(scan, layout.components) < file.size() && file[scan + 2] == layout.components)
        file[number_in_scan(scan, i)] = uint8_t(i + 1);
  }
  if (without_tables) {
    const auto tables = standard_tables();
    file.insert(file.begin() + 2, tables.begin(), tables.end());
  }
  completed = std::move(file);
  return true;
}

int64_t check_jpeg(Bytes bytes) {
  const JpegLayout layout = jpeg_layout(bytes);
  if (layout.process > 2)
    fail(ExitCode::data, "JPEG with {} coding (SOF{}) is not supported; convert it to baseline or progressive",
         layout.process >= 9 ? "arithmetic" : layout.process == 3 ? "lossless" : "hierarchical", layout.process);
  if (layout.bits == 12) fail(ExitCode::data, "JPEG of 12 bits is not supported; convert it to 8 bits");
  if (layout.components == 4 && layout.adobe_transform != 0 && layout.adobe_transform != 2)
    fail(ExitCode::data, "JPEG with 4 components and no Adobe marker that says which; convert it to RGB");
  if (!layout.huffman_fits)
    fail(ExitCode::data, "damaged JPEG: a Huffman table of more than 256 symbols; fetch it again");
  if (!layout.has_tables) fail(ExitCode::data, "damaged JPEG: no Huffman tables; fetch it again or convert it");
  if (!layout.ended) fail(ExitCode::data, "damaged JPEG: {} bytes without an end; fetch it again", bytes.size());
  if (int(layout.scanned.count()) < layout.components)
    fail(ExitCode::data, "damaged JPEG: {} of {} components have data; fetch it again", layout.scanned.count(),
         layout.components);
  return int64_t(layout.scans.size());
}

void check_jpeg_size(size_t bytes, int64_t pixels, int64_t scans) {
  constexpr int64_t most_in_a_byte = 1024;              // pixels: 64 take a bit at least; twice, for odd sampling
  constexpr int64_t scanned_by_a_byte = 1024, free_bytes = 1 << 20;
  const int64_t size = int64_t(bytes);
  if (pixels > most_in_a_byte * size)
    fail(ExitCode::data, "damaged JPEG: {} bytes cannot hold {} pixels; fetch it again", size, pixels);
  if (scans * pixels > scanned_by_a_byte * std::max(size, free_bytes))
    fail(ExitCode::data, "damaged JPEG: {} scans over {} pixels in {} bytes; fetch it again or convert it", scans,
         pixels, size);
}
