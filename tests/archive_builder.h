// Archives and TIFFs as others make them, for tests.
// defines: Files, make_archive, tiff
#pragma once
#include <archive.h>
#include <archive_entry.h>
#include <doctest/doctest.h>
#include <filesystem>
#include <fmt/format.h>
#include <string>
#include <tiffio.h>
#include <utility>
#include <vector>

#include "data/image.h"
#include "tests/car_annotations.h"
#include "tests/run_program.h"

using Files = std::vector<std::pair<std::string, std::string>>;    // name, bytes

// "zip", "ustar" or "pax", and one of ARCHIVE_FILTER_....
inline std::string make_archive(const std::filesystem::path& path, const Files& files, const char* format = "ustar",
                                int filter = ARCHIVE_FILTER_NONE) {
  std::filesystem::create_directories(path.parent_path());
  archive* writer = archive_write_new();
  REQUIRE(archive_write_set_format_by_name(writer, format) == ARCHIVE_OK);
  REQUIRE(archive_write_add_filter(writer, filter) == ARCHIVE_OK);
  REQUIRE(archive_write_open_filename(writer, path.c_str()) == ARCHIVE_OK);
  for (const auto& [name, bytes] : files) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, la_int64_t(bytes.size()));
    REQUIRE(archive_write_header(writer, entry) >= ARCHIVE_WARN);
    REQUIRE(archive_write_data(writer, bytes.data(), bytes.size()) == la_ssize_t(bytes.size()));
    archive_entry_free(entry);
  }
  archive_write_free(writer);
  return path.string();
}

// RGB, or gray where `channels` is 1, of 8 or 16 bits.
inline std::string tiff(const Image& image, uint16_t compression = COMPRESSION_LZW, int channels = 3, int bits = 8) {
  const TempDir dir;
  const std::filesystem::path path = dir.path() / "t.tif";
  TIFF* file = TIFFOpen(path.c_str(), "w");
  TIFFSetField(file, TIFFTAG_IMAGEWIDTH, image.width);
  TIFFSetField(file, TIFFTAG_IMAGELENGTH, image.height);
  TIFFSetField(file, TIFFTAG_SAMPLESPERPIXEL, channels);
  TIFFSetField(file, TIFFTAG_BITSPERSAMPLE, bits);
  TIFFSetField(file, TIFFTAG_ROWSPERSTRIP, 2);
  TIFFSetField(file, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
  TIFFSetField(file, TIFFTAG_PHOTOMETRIC, channels == 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK);
  TIFFSetField(file, TIFFTAG_COMPRESSION, compression);
  for (int y = 0; y < image.height; y++) {
    std::string row;
    for (int i = 0; i < image.width * channels; i++)
      row.append(size_t(bits / 8),
                 char(image.rgb[size_t(y) * size_t(image.width) * 3 + size_t(channels == 3 ? i : 3 * i)]));
    TIFFWriteScanline(file, row.data(), uint32_t(y));
  }
  TIFFClose(file);
  return read_text(path);
}
