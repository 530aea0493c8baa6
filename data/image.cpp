#include "data/image.h"

#include <algorithm>
#include <archive.h>
#include <archive_entry.h>
#include <bitset>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>

#include "engine/error.h"

namespace {
constexpr int64_t most_in_a_byte = 1024;              // pixels of a JPEG: 64 take a bit at least; twice, for odd sampling
constexpr size_t largest_block = size_t(1) << 30;     // bytes; 16 bits and alpha of the largest image need less
constexpr size_t largest_gunzip = size_t(1) << 28;    // bytes

// A damaged file can leave parts of its image unwritten: these must not show what was in memory before.
void* zeroed_malloc(size_t size) { return size <= largest_block ? std::calloc(1, size) : nullptr; }

void* zeroed_realloc(void* old, size_t old_size, size_t size) {
  auto* block = size <= largest_block ? static_cast<uint8_t*>(std::realloc(old, size)) : nullptr;
  if (block && size > old_size) std::memset(block + old_size, 0, size - old_size);
  return block;
}
}  // namespace

#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS 16384
#define STBI_MALLOC(size) zeroed_malloc(size)
#define STBI_REALLOC_SIZED(old, old_size, size) zeroed_realloc(old, old_size, size)
#define STBI_FREE(block) std::free(block)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

namespace {
using Bytes = std::span<const uint8_t>;

struct Kind { const char* name; size_t offset; std::string_view magic; };

using namespace std::string_view_literals;
constexpr Kind kinds[] = {
    {"JPEG", 0, "\xFF\xD8\xFF"sv},    {"PNG", 0, "\x89PNG\r\n\x1A\n"sv},  {"gzip", 0, "\x1F\x8B"sv},
    {"WebP", 8, "WEBP"sv},            {"GIF", 0, "GIF8"sv},               {"BMP", 0, "BM"sv},
    {"TIFF", 0, "II*\0"sv},           {"TIFF", 0, "MM\0*"sv},             {"AVIF or HEIF", 4, "ftyp"sv},
    {"JPEG 2000", 4, "jP  "sv},       {"JPEG 2000", 0, "\xFF\x4F\xFF"sv}, {"JPEG XL", 4, "JXL "sv},
    {"JPEG XL", 0, "\xFF\x0A"sv},     {"PSD", 0, "8BPS"sv},               {"PNM", 0, "P5"sv},
    {"PNM", 0, "P6"sv},
};

}  // namespace

std::string_view image_kind(Bytes bytes) {
  for (const Kind& kind : kinds)
    if (bytes.size() >= kind.offset + kind.magic.size() &&
        std::memcmp(&bytes[kind.offset], kind.magic.data(), kind.magic.size()) == 0)
      return kind.name;
  return "an unknown kind of file";
}

namespace {
std::vector<uint8_t> gunzip(Bytes bytes) {
  const std::unique_ptr<archive, decltype(&archive_read_free)> reader(archive_read_new(), archive_read_free);
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_format_raw(reader.get());
  archive_entry* entry = nullptr;
  std::vector<uint8_t> out;
  la_ssize_t got = -1;
  if (archive_read_open_memory(reader.get(), bytes.data(), bytes.size()) == ARCHIVE_OK &&
      archive_read_next_header(reader.get(), &entry) == ARCHIVE_OK)
    do {
      const size_t used = out.size();
      out.resize(used + (size_t(1) << 18));
      got = archive_read_data(reader.get(), &out[used], out.size() - used);
      out.resize(used + size_t(std::max<la_ssize_t>(got, 0)));
    } while (got > 0 && out.size() <= largest_gunzip);
  if (got < 0) fail(ExitCode::data, "damaged gzip file; fetch it again");
  if (got > 0) fail(ExitCode::data, "gzip file of more than {} MiB, too large for an image", largest_gunzip >> 20);
  return out;
}

struct JpegLayout {
  int process = -1;            // n of the start-of-frame marker SOFn
  int bits = 8;                // of a component of a pixel
  int components = 0;
  int adobe_transform = -1;    // of the APP14 segment; -1: none
  bool huffman_fits = true;    // no table has more than its 256 symbols, which stb_image 2.27 takes on trust
  std::bitset<256> scanned;    // the numbers of the components that are in any scan
  bool ended = false;          // has an end-of-image marker
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
    at += std::max<size_t>(segment.size(), 2);
    if (marker == 0xC4)    // tables of class and number, 16 counts, symbols; a damaged one may reach into what follows
      for (size_t table = 2; table < segment.size();) {
        const Bytes counts = rest.subspan(table + 1, std::min<size_t>(16, rest.size() - table - 1));
        const int symbols = std::accumulate(counts.begin(), counts.end(), 0);
        layout.huffman_fits &= symbols <= 256;
        table += 17 + size_t(symbols);
      }
    const bool frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (frame && segment.size() > 7)
      layout.process = marker - 0xC0, layout.bits = segment[2], layout.components = segment[7];
    if (marker == 0xEE && segment.size() > 13 && std::memcmp(&segment[2], "Adobe", 5) == 0)
      layout.adobe_transform = segment[13];
    if (marker == 0xDA && segment.size() > 2)
      for (size_t i = 3; i + 1 < std::min<size_t>(segment.size(), 3 + 2 * segment[2]); i += 2)
        layout.scanned.set(segment[i]);
  }
  return layout;
}

// What stb_image decodes wrongly without a word, or refuses with a reason that does not help.
void check_jpeg(Bytes bytes) {
  const JpegLayout layout = jpeg_layout(bytes);
  if (layout.process > 2)
    fail(ExitCode::data, "JPEG with {} coding (SOF{}) is not supported; convert it to baseline or progressive",
         layout.process >= 9 ? "arithmetic" : layout.process == 3 ? "lossless" : "hierarchical", layout.process);
  if (layout.bits == 12) fail(ExitCode::data, "JPEG of 12 bits is not supported; convert it to 8 bits");
  if (layout.components == 4 && layout.adobe_transform != 0 && layout.adobe_transform != 2)
    fail(ExitCode::data, "JPEG with 4 components and no Adobe marker that says which; convert it to RGB");
  if (!layout.huffman_fits)
    fail(ExitCode::data, "damaged JPEG: a Huffman table of more than 256 symbols; fetch it again");
  if (!layout.ended) fail(ExitCode::data, "damaged JPEG: {} bytes without an end; fetch it again", bytes.size());
  if (int(layout.scanned.count()) < layout.components)
    fail(ExitCode::data, "damaged JPEG: {} of {} components have data; fetch it again", layout.scanned.count(),
         layout.components);
}
// Every critical chunk must be known and the last one there: of others stb_image writes the name into memory that all
// threads share, and Apple's CgBI has its colours in another order.
void check_png(Bytes bytes) {
  for (size_t at = 8; at + 8 <= bytes.size();) {
    const Bytes chunk = bytes.subspan(at);
    const std::string type(chunk.begin() + 4, chunk.begin() + 8);
    if (type == "IEND") return;
    if (!(type[0] & 0x20) && type != "IHDR" && type != "PLTE" && type != "IDAT")
      fail(ExitCode::data, "PNG with an unknown critical chunk at byte {}; fetch it again or convert it", at);
    at += 12 + (size_t(chunk[0]) << 24 | size_t(chunk[1]) << 16 | size_t(chunk[2]) << 8 | chunk[3]);
  }
  fail(ExitCode::data, "damaged PNG: {} bytes without an end; fetch it again", bytes.size());
}
}  // namespace

Image decode_image(Bytes bytes) {
  std::string_view kind = image_kind(bytes);
  std::vector<uint8_t> unpacked;
  if (kind == "gzip") {
    unpacked = gunzip(bytes);
    bytes = unpacked;
    kind = image_kind(bytes);
  }
  if (bytes.empty()) fail(ExitCode::data, "expected a JPEG or PNG image, got an empty file; fetch it again");
  if (kind != "JPEG" && kind != "PNG")
    fail(ExitCode::data, "expected a JPEG or PNG image, got {} of {} bytes; convert it", kind, bytes.size());
  if (bytes.size() > INT_MAX) fail(ExitCode::data, "{} of {} bytes, limit {}", kind, bytes.size(), INT_MAX);

  if (kind == "JPEG") check_jpeg(bytes);
  else check_png(bytes);

  const int size = int(bytes.size());
  int width = 0, height = 0, channels = 0;
  // A header that cannot be read is left to the decoder, which knows the reason.
  if (stbi_info_from_memory(bytes.data(), size, &width, &height, &channels)) {
    const int64_t pixels = int64_t(width) * height;
    if (pixels > largest_image)
      fail(ExitCode::data, "{} of {} x {} pixels, limit {} pixels; make it smaller", kind, width, height, largest_image);
    if (kind == "JPEG" && pixels > most_in_a_byte * size)
      fail(ExitCode::data, "damaged JPEG: {} bytes cannot hold {} x {} pixels; fetch it again", size, width, height);
  }

  stbi__g_failure_reason = nullptr;    // stb_image never clears it, and sets it on images that it returns as good
  const std::unique_ptr<uint8_t, decltype(&stbi_image_free)> pixels(
      stbi_load_from_memory(bytes.data(), size, &width, &height, &channels, 3), stbi_image_free);
  const std::string_view reason = stbi_failure_reason() ? stbi_failure_reason() : "";
  if (reason == "too large")
    fail(ExitCode::data, "{} too large, limit {} pixels a side; make it smaller", kind, STBI_MAX_DIMENSIONS);
  const bool complains = !reason.empty() && reason != "bad png sig";    // said of every JPEG, while guessing its kind
  if (!pixels || complains) fail(ExitCode::data, "damaged {}: {}; fetch it again", kind, reason);
  return {height, width, {pixels.get(), pixels.get() + size_t(width) * size_t(height) * 3}};
}

Image decode_image(Bytes bytes, const std::string& where) {
  try {
    return decode_image(bytes);
  } catch (const Error& error) {
    fail(error.code, "{}: {}", where, error.what());
  }
}
