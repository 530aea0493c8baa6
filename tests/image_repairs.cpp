// What image files get wrong without looking so, what they leave out, and what they may cost.
#include <csignal>
#include <cstring>
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "data/encode.h"
#include "data/image.h"
#include "tests/error_of.h"
#include "tests/memory.h"
#include "tests/tar_builder.h"
#include "tests/tiny_files.h"

namespace {
Image decode(const std::string& bytes) {
  return decode_image({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}
std::string refusal(const std::string& bytes) {
  return error_of(ExitCode::data, [&] { decode(bytes); });
}

std::string big_endian(uint32_t value) {
  std::string text(4, '\0');
  for (int i = 0; i < 4; i++) text[size_t(i)] = char(value >> (24 - 8 * i));
  return text;
}
std::string chunk(const std::string& type, const std::string& content) {
  const std::string all = type + content;
  return big_endian(uint32_t(content.size())) + all +
         big_endian(uint32_t(crc32(0, reinterpret_cast<const Bytef*>(all.data()), uInt(all.size()))));
}
std::string deflated(const std::string& bytes) {
  uLongf size = compressBound(bytes.size());
  std::string out(size, '\0');
  compress(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  return out.substr(0, size);
}
// Gray, 8 bits; `data` is the compressed image.
std::string gray_png(uint32_t width, uint32_t height, const std::string& data) {
  return "\x89PNG\r\n\x1A\n" + chunk("IHDR", big_endian(width) + big_endian(height) + std::string("\x8\0\0\0\0", 5)) +
         chunk("IDAT", data) + chunk("IEND", "");
}

std::string with_size(std::string jpeg, int height, int width) {
  const size_t frame = jpeg.find("\xFF\xC0") == jpeg.npos ? jpeg.find("\xFF\xC2") : jpeg.find("\xFF\xC0");
  for (int i = 0; i < 4; i++) jpeg[frame + 5 + size_t(i)] = char((i < 2 ? height : width) >> (i % 2 ? 0 : 8));
  return jpeg;
}

std::string without_tables(std::string jpeg) {
  for (size_t at; (at = jpeg.find("\xFF\xC4")) != jpeg.npos;)
    jpeg.erase(at, 2 + size_t(uint8_t(jpeg[at + 2]) << 8 | uint8_t(jpeg[at + 3])));
  return jpeg;
}

Image stripes(int height, int width) {
  Image image{height, width, {}};
  for (int i = 0; i < height * width; i++)
    for (int value : {i % 7 * 30, 255 - i % 5 * 20, i % 11 * 20}) image.rgb.push_back(uint8_t(value));
  return image;
}
// Made with Pillow, red with two blue columns at the right: 4:2:2 of 8 columns, 4:2:0 of 4, 4:2:2 of 3; and the first
// row as Pillow decodes it.
const std::pair<std::string, std::vector<int>> edge_jpegs[] = {
    {from_hex("ffd8ffe000104a46494600010100000100010000ffdb00430002010101010102010101020202020204030202020205040403"
              "04060506060605060606070908060709070606080b08090a0a0a0a0a06080b0c0b0a0c090a0a0affdb004301020202020202"
              "050303050a0706070a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
              "0a0a0a0a0a0a0a0affc00011080002000803012100021101031101ffc4001500010100000000000000000000000000000008"
              "ffc4001a1000010501000000000000000000000000000204073683b3ffc40015010101000000000000000000000000000007"
              "08ffc4001b1100000701000000000000000000000000000304083774b302ffda000c03010002110311003f0088e52a23ecba"
              "a0154b408d15db3314e175d348296af1a9e3ffd9"),
     {200, 31, 28, 200, 31, 28, 200, 30, 30, 200, 30, 30, 202, 30, 30, 167, 37, 81, 64, 22, 150, 29, 29, 201}},
    {from_hex("ffd8ffe000104a46494600010100000100010000ffdb00430002010101010102010101020202020204030202020205040403"
              "04060506060605060606070908060709070606080b08090a0a0a0a0a06080b0c0b0a0c090a0a0affdb004301020202020202"
              "050303050a0706070a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
              "0a0a0a0a0a0a0a0affc00011080004000403012200021101031101ffc4001500010100000000000000000000000000000009"
              "ffc4001a1001000105000000000000000000000000000204073683b3ffc40015010101000000000000000000000000000003"
              "09ffc4001b110000070100000000000000000000000000020405073774b3ffda000c03010002110311003f009c774b3baed5"
              "ca0028dc615a32644dc480245b05df528ea71fffd9"),
     {200, 30, 30, 200, 30, 30, 29, 30, 198, 29, 30, 198}},
    {from_hex("ffd8ffe000104a46494600010100000100010000ffdb00430002010101010102010101020202020204030202020205040403"
              "04060506060605060606070908060709070606080b08090a0a0a0a0a06080b0c0b0a0c090a0a0affdb004301020202020202"
              "050303050a0706070a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
              "0a0a0a0a0a0a0a0affc00011080002000303012100021101031101ffc4001500010100000000000000000000000000000009"
              "ffc4001b100001040300000000000000000000000000010305063675b2ffc400150101010000000000000000000000000000"
              "0609ffc4001c1100000701010000000000000000000000000304063673b20102ffda000c03010002110311003f009a76dcaa"
              "4f60f76a0a70d78d22a4bc7907dc52059699be8fffd9"),
     {131, 46, 131, 100, 15, 100, 27, 29, 199}}};
}    // namespace

TEST_SUITE("image") {
  TEST_CASE("each chunk of a PNG is held against its checksum, and the pixels against theirs") {
    const std::string pixels = deflated(std::string(1, '\0') + "abcd" + std::string(1, '\0') + "efgh");
    const std::string whole = gray_png(4, 2, pixels);
    REQUIRE(decode(whole).rgb[12] == 'e');
    std::string flipped = whole;
    flipped[whole.find("IDAT") + 4 + 5] ^= 1;
    CHECK(says(refusal(flipped), {"damaged PNG: wrong checksum of the chunk at byte 33", "fetch it again"}));
    std::string header = whole;
    header[whole.find("IHDR") + 16] ^= 1;    // of its checksum
    CHECK(says(refusal(header), {"wrong checksum of the chunk at byte 8"}));
    std::string adler = pixels;
    adler.back() ^= 1;
    CHECK(says(refusal(gray_png(4, 2, adler)), {"damaged PNG: incorrect data check in its image data"}));
    CHECK(says(refusal(gray_png(4, 2, pixels.substr(0, pixels.size() - 4))), {"image data have no end"}));
    CHECK(says(refusal(gray_png(4, 2, deflated(std::string(1000, '\0')))), {"more than the 10 bytes of pixels"}));
    CHECK(says(refusal(whole.substr(0, whole.size() - 1)), {"without an end"}));
    const std::string two = "\x89PNG\r\n\x1A\n" + whole.substr(8, 25) + chunk("IDAT", pixels.substr(0, 3)) +
                            chunk("tEXt", "a") + chunk("IDAT", "") + chunk("IDAT", pixels.substr(3)) +
                            chunk("IEND", "");
    CHECK(decode(two).rgb == decode(whole).rgb);
    CHECK(decode(encode_png(stripes(61, 47))).rgb == stripes(61, 47).rgb);
  }

  TEST_CASE("a frame of motion JPEG, without Huffman tables, gets the standard ones") {
    const std::string jpeg = encode_jpeg(stripes(21, 33), 90);
    REQUIRE(without_tables(jpeg).size() < jpeg.size());
    CHECK(decode(without_tables(jpeg)).rgb == decode(jpeg).rgb);
    CHECK(contains(refusal(without_tables(progressive_jpeg)), "damaged JPEG"));    // there are none for it
  }

  TEST_CASE("components that share a number are told apart by their order") {
    std::string same = cmyk_jpeg;
    const size_t frame = same.find("\xFF\xC0"), scan = same.find("\xFF\xDA");
    for (size_t i = 0; i < 4; i++) same[frame + 10 + 3 * i] = same[scan + 5 + 2 * i] = 'C';
    CHECK(decode(same).rgb == decode(cmyk_jpeg).rgb);
  }

  TEST_CASE("colours at the right edge of 4:2:2, and in images of up to four columns, as libjpeg has them") {
    for (const auto& [bytes, expected] : edge_jpegs) {
      const Image image = decode(bytes);
      REQUIRE(size_t(image.width) * 3 == expected.size());
      for (size_t i = 0; i < expected.size(); i++) {
        CAPTURE(i);
        CHECK(std::abs(image.rgb[i] - expected[i]) <= 3);
      }
    }
  }

  TEST_CASE("few bytes that ask for much are refused before they get it") {
    CHECK(
        says(refusal(gray_png(9000, 9000, deflated(std::string(1000, '\0')))), {"9000 x 9000 pixels, limit 33554432"}));
    CHECK(says(refusal(gray_png(20000, 20000, deflated(std::string(1000, '\0')))), {"too large, limit 16384"}));
    std::string scans = with_size(progressive_jpeg, 5000, 5000);
    const size_t scan = scans.find("\xFF\xDA"), end = scans.rfind("\xFF\xD9");
    std::string more;
    for (int i = 0; i < 2000; i++) more += scans.substr(scan, 14);
    scans.insert(end, more);
    CHECK(says(refusal(scans), {"damaged JPEG: 20", "scans over 25000000 pixels"}));
    CHECK(
        says(refusal(gzipped(encode_png(stripes(8, 8)) + std::string(40 << 20, '\0'))), {"gzip file of", "too many"}));
  }

  TEST_CASE("want of memory is no damage") {
    const std::string jpeg = with_size(encode_jpeg(stripes(64, 64), 90), 5000, 5000) + std::string(100'000, '\0');
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      const rlimit memory{mapped_bytes() + (64 << 20), RLIM_INFINITY};
      ::setrlimit(RLIMIT_AS, &memory);
      try {
        decode(jpeg);
      } catch (const Error& error) {
        ::_exit(int(error.code));
      } catch (const std::bad_alloc&) {
        ::_exit(int(ExitCode::failed));
      }
      ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == int(ExitCode::failed)));
  }
}
