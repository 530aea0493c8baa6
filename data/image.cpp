#include "data/image.h"

#include <algorithm>
#include <archive.h>
#include <archive_entry.h>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "data/jpeg.h"
#include "data/png.h"
#include "engine/error.h"

namespace {
constexpr size_t largest_block = size_t(1) << 30;     // bytes; 16 bits and alpha of the largest image need less

// A damaged file can leave parts of its image unwritten: these must not show what was in memory before. Whether memory
// was wanting, or asked for without sense, tells a full machine from a damaged file.
thread_local bool memory_wanting = false;

void* kept_to_limit(void* block, size_t size) {
  memory_wanting |= !block && size > 0;
  return block;
}

void* zeroed_malloc(size_t size) {
  return size <= largest_block ? kept_to_limit(std::calloc(1, size), size) : nullptr;
}

void* zeroed_realloc(void* old, size_t old_size, size_t size) {
  if (size > largest_block) return nullptr;
  auto* block = static_cast<uint8_t*>(kept_to_limit(std::realloc(old, size), size));
  if (block && size > old_size) std::memset(block + old_size, 0, size - old_size);
  return block;
}
}  // namespace

// Two of stb_image's filters that enlarge the colours of a JPEG, as libjpeg has them: of two columns or fewer each is
// repeated, and 4:2:2's second-last column takes three parts of its own colour, where stb_image takes the neighbour's.
// The macros rename stb_image's definitions, which have parentheses after the name: where it takes one by its name
// alone, it gets the function here.
static uint8_t* stb_row_h_2(uint8_t* out, uint8_t* near, uint8_t* far, int width, int factor);
static uint8_t* stb_row_hv_2(uint8_t* out, uint8_t* near, uint8_t* far, int width, int factor);
static uint8_t* stb_row_hv_2_simd(uint8_t* out, uint8_t* near, uint8_t* far, int width, int factor);

namespace {
uint8_t* repeated(uint8_t* out, const uint8_t* row, int width) {
  for (int i = 0; i < 2 * width; i++) out[i] = row[i / 2];
  return out;
}
}  // namespace

static uint8_t* stbi__resample_row_h_2(uint8_t* out, uint8_t* near, uint8_t* far, int width, int factor) {
  if (width <= 2) return repeated(out, near, width);
  uint8_t* row = stb_row_h_2(out, near, far, width, factor);
  row[2 * width - 2] = uint8_t((3 * near[width - 1] + near[width - 2] + 2) / 4);
  return row;
}
static uint8_t* stbi__resample_row_hv_2(uint8_t* out, uint8_t* near, uint8_t* far, int width, int factor) {
  return width <= 2 ? repeated(out, near, width) : stb_row_hv_2(out, near, far, width, factor);
}
[[maybe_unused]] static uint8_t* stbi__resample_row_hv_2_simd(uint8_t* out, uint8_t* near, uint8_t* far, int width,
                                                              int factor) {
  return width <= 2 ? repeated(out, near, width) : stb_row_hv_2_simd(out, near, far, width, factor);
}
#define stbi__resample_row_h_2(...) stb_row_h_2(__VA_ARGS__)
#define stbi__resample_row_hv_2(...) stb_row_hv_2(__VA_ARGS__)
#define stbi__resample_row_hv_2_simd(...) stb_row_hv_2_simd(__VA_ARGS__)

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
  constexpr size_t least = size_t(1) << 24, ratio = 32;    // JPEG and PNG are compressed already
  const size_t largest = std::max(least, ratio * bytes.size());
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
    } while (got > 0 && out.size() <= largest);
  if (got < 0 && archive_errno(reader.get()) == ENOMEM) throw std::bad_alloc();
  if (got < 0) fail(ExitCode::data, "damaged gzip file; fetch it again");
  if (got > 0)
    fail(ExitCode::data, "gzip file of {} bytes holds more than {}, too many for an image; fetch it again",
         bytes.size(), largest);
  return out;
}

}  // namespace

void check_image_size(std::string_view kind, int64_t width, int64_t height, size_t bytes) {
  constexpr int64_t free_pixels = int64_t(1) << 25, most_in_a_byte = 32;
  const int64_t limit = std::min(largest_image, std::max(free_pixels, most_in_a_byte * int64_t(bytes)));
  if (width > 0 && height > limit / width)
    fail(ExitCode::data, "{} of {} x {} pixels, limit {} pixels for {} bytes; make it smaller", kind, width, height,
         limit, bytes);
}

Image decode_image(Bytes bytes) {
  const size_t given = bytes.size();
  std::string_view kind = image_kind(bytes);
  std::vector<uint8_t> changed;
  if (kind == "gzip") {
    changed = gunzip(bytes);
    bytes = changed;
    kind = image_kind(bytes);
  }
  if (bytes.empty()) fail(ExitCode::data, "expected a JPEG or PNG image, got an empty file; fetch it again");
  if (kind != "JPEG" && kind != "PNG")
    fail(ExitCode::data, "expected a JPEG or PNG image, got {} of {} bytes; convert it", kind, bytes.size());
  if (bytes.size() > INT_MAX) fail(ExitCode::data, "{} of {} bytes, limit {}", kind, bytes.size(), INT_MAX);
  if (kind == "JPEG" && complete_jpeg(bytes, changed)) bytes = changed;
  const int64_t scans = kind == "JPEG" ? check_jpeg(bytes) : 0;

  const int size = int(bytes.size());
  int width = 0, height = 0, channels = 0;
  // A header that cannot be read is left to the decoder, which knows the reason.
  if (stbi_info_from_memory(bytes.data(), size, &width, &height, &channels))
    check_image_size(kind, width, height, given);
  if (kind == "JPEG") check_jpeg_size(bytes.size(), int64_t(width) * height, scans);
  else check_png(bytes);

  stbi__g_failure_reason = nullptr;    // stb_image never clears it, and sets it on images that it returns as good
  memory_wanting = false;
  const std::unique_ptr<uint8_t, decltype(&stbi_image_free)> pixels(
      stbi_load_from_memory(bytes.data(), size, &width, &height, &channels, 3), stbi_image_free);
  if (!pixels && memory_wanting)
    fail(ExitCode::failed, "no memory left to decode a {} of {} x {} pixels", kind, width, height);
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
