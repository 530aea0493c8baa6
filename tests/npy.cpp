#include "engine/npy.h"

#include <cstring>
#include <doctest/doctest.h>

#include "tests/error_of.h"
#include "tests/hex.h"
#include "tests/temp_dir.h"
#include "tests/tiny_files.h"

namespace {
std::filesystem::path put(const TempDir& dir, const std::string& name, const std::string& bytes) {
  write_atomically(dir.path() / name, [&](Writer& file) { file.write(bytes); });
  return dir.path() / name;
}

// A .npy file of version 1 to 3 with this header and these data.
std::string npy(const std::string& header, const std::string& data, int version = 1) {
  std::string size(version == 1 ? 2 : 4, '\0');
  for (size_t i = 0; i < size.size(); i++) size[i] = char(header.size() >> 8 * i & 255);
  return "\x93NUMPY" + std::string(1, char(version)) + std::string(1, '\0') + size + header + data;
}
std::string npy(const std::string& descr, const std::string& shape, const std::string& data) {
  return npy("{'descr': " + descr + ", 'fortran_order': False, 'shape': " + shape + ", }    \n", data);
}

Array read(const std::string& bytes) {
  const TempDir dir;
  return read_npy(put(dir, "x.npy", bytes));
}

std::string refusal(const std::string& bytes) {
  const std::string message = error_of(ExitCode::data, [&] { read(bytes); });
  CHECK(says(message, {"x.npy"}));
  return message;
}

std::string npz_refusal(const std::string& bytes) {
  const TempDir dir;
  const auto path = put(dir, "x.npz", bytes);
  const std::string message = error_of(ExitCode::data, [&] { read_npz(path); });
  CHECK(says(message, {"x.npz"}));
  return message;
}

std::string changed(std::string bytes, const std::string& from, const std::string& to) {
  REQUIRE(from.size() == to.size());
  const size_t at = bytes.find(from);
  REQUIRE(at != bytes.npos);
  return bytes.replace(at, from.size(), to);
}

Array floats(std::vector<int64_t> shape, const std::vector<float>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {std::move(shape), "F32", {bytes.begin(), bytes.end()}, ""};
}
}    // namespace

TEST_SUITE("npy") {
  TEST_CASE("arrays as NumPy writes them") {
    const std::string two(2, '\0');
    CHECK(read(npy("'<f4'", "(2,)", from_hex("0000803f000020c0"))).floats() == std::vector<float>{1, -2.5f});
    CHECK(read(npy("'<V2'", "(2,)", from_hex("803f2040"))).floats() == std::vector<float>{1, 2.5f});
    CHECK(read(npy("'|V2'", "(2, 1)", from_hex("803f2040"))).shape == std::vector<int64_t>{2, 1});
    CHECK(read(npy("'<f8'", "()", from_hex("000000000000f03f"))).floats() == std::vector<float>{1});
    CHECK(read(npy("'<f2'", "(1,)", from_hex("003c"))).floats() == std::vector<float>{1});
    CHECK(read(npy("'|u1'", "(2,)", from_hex("01ff"))).ints() == std::vector<int64_t>{1, 255});
    CHECK(read(npy("'|i1'", "(2,)", from_hex("01ff"))).ints() == std::vector<int64_t>{1, -1});
    CHECK(read(npy("'|b1'", "(2,)", from_hex("0100"))).ints() == std::vector<int64_t>{1, 0});
    CHECK(read(npy("'<i4'", "(0, 7)", "")).ints().empty());
    for (const int version : {1, 2, 3})
      CHECK(read(npy("{'shape': (1,), 'fortran_order': False, 'descr': '<i2'}", from_hex("0500"), version)).ints()[0] ==
            5);
    CHECK(says(error_of(ExitCode::data, [] { read(npy("'<i4'", "()", "1234")).floats(); }),
               {"x.npy", "expected floating", "got I32"}));
    CHECK(says(error_of(ExitCode::data, [] { read(npy("'<f4'", "()", "1234")).ints(); }),
               {"x.npy", "expected integers", "got F32"}));
  }

  TEST_CASE("Fortran order is turned into row-major order") {
    const std::string header = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 2), }\n";
    const Array array = read(npy(header, from_hex("000602080410 01070309050b")));
    CHECK(array.shape == std::vector<int64_t>{2, 3, 2});
    CHECK(array.ints() == std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 11});
  }

  TEST_CASE("what is no array, or not all of one") {
    const std::string good = npy("'<f4'", "(2,)", "12345678");
    CHECK(read(good).data.size() == 8);
    for (size_t size = 0; size < good.size(); size++) CHECK(refusal(good.substr(0, size)).size() > 0);
    CHECK(says(refusal(good.substr(0, good.size() - 1)), {"cut short: expected 8 more bytes, got 7"}));
    CHECK(says(refusal(good.substr(0, 20)), {"cut short"}));
    CHECK(says(refusal(good + "9"), {"expected 8 bytes for F32 of shape [2], got more"}));
    CHECK(says(refusal(npy("'|O'", "(1,)", "12345678")), {"elements \"|O\" are not read"}));
    CHECK(says(refusal(npy("'>f4'", "(1,)", "1234")), {"elements \">f4\"", "little-endian"}));
    CHECK(says(refusal(npy("[('a', '<f4')]", "(1,)", "1234")), {"are not read"}));
    CHECK(says(refusal(npy("'<f4'", "(-1,)", "1234")), {"not a .npy header"}));
    CHECK(says(refusal(npy("'<f4'", "(1.0,)", "1234")), {"not a .npy header"}));
    CHECK(says(refusal(npy("'<f4'", "1", "1234")), {"not a .npy header"}));
    CHECK(says(refusal(npy("'<f4'", "(99999999999999999999,)", "1234")), {"not a .npy header"}));
    CHECK(says(refusal(npy("'<f4'", "(4611686018427387904, 4)", "")), {"more than the file can hold"}));
    CHECK(says(refusal(npy("'<f4'", "(1000000000000,)", "1234")), {"more than the file can hold"}));
    CHECK(says(refusal(npy("{'descr': '<f4', 'fortran_order': False}", "1234")), {"not a .npy header"}));
    CHECK(says(refusal(npy("{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}", "1234")), {"not a .npy header"}));
    CHECK(says(refusal(npy("__import__('os')", "1234")), {"not a .npy header"}));
    CHECK(says(refusal(npy("{'shape': (1,)}", "", 4)), {"version 1 to 3"}));
    CHECK(says(refusal("\x93NUMPY\x02" + std::string("\0\xff\xff\xff\x7f", 5) + "{}"), {"header of 2147483647 bytes"}));
    CHECK(says(refusal(compressed_npz), {"not a .npy array"}));
    const std::string deep = std::string(400'000, '[') + std::string(400'000, ']');
    CHECK(says(refusal(npy("{'descr': " + deep + ", 'fortran_order': False, 'shape': (1,)}", "1234", 2)),
               {"not a .npy header"}));
  }

  TEST_CASE("arrays are written as NumPy reads them") {
    const TempDir dir;
    const std::vector<float> values = {1, -0.0f, 2, 3, 4, 5};
    const auto path = dir.path() / "x.npy";
    write_npy(path, {2, 3}, values);
    const MappedFile file(path);
    const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
    REQUIRE(bytes.size() == 128 + 24);
    CHECK(bytes.substr(0, 10) == std::string("\x93NUMPY\x01\0v\0", 10));
    CHECK(bytes.substr(10, 60) == "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, ), ");
    CHECK(bytes[127] == '\n');
    CHECK(std::memcmp(&bytes[128], values.data(), 24) == 0);
    const Array array = read_npy(path);
    CHECK(array.shape == std::vector<int64_t>{2, 3});
    CHECK(array.floats() == values);
    write_npy(path, {2}, std::vector<int64_t>{INT64_MIN, 7});
    CHECK(read_npy(path).ints() == std::vector<int64_t>{INT64_MIN, 7});
    write_npy(path, {}, std::vector<int64_t>{7});
    CHECK(read_npy(path).shape.empty());
    CHECK(says(error_of(ExitCode::failed, [&] { write_npy(path, {2, 2}, values); }), {"24 bytes", "[2, 2]"}));
  }

  TEST_CASE("archives as NumPy writes them, stored and compressed") {
    const TempDir dir;
    const auto path = put(dir, "x.npz", compressed_npz);
    CHECK(npz_names(path) == std::vector<std::string>{"a/kernel", "n"});
    const auto arrays = read_npz(path);
    CHECK(arrays.size() == 2);
    CHECK(arrays.at("a/kernel").shape == std::vector<int64_t>{2, 3});
    CHECK(arrays.at("a/kernel").floats() == std::vector<float>{0, 1, 2, 3, 4, 5});
    CHECK(arrays.at("n").ints() == std::vector<int64_t>{3, -1});
    CHECK(read_npz(path, "a/").size() == 1);
    CHECK(read_npz(path, "a/").contains("kernel"));
    CHECK(read_npz(put(dir, "y.npz", stored_npz)).at("n").ints() == std::vector<int64_t>{3, -1});
  }

  TEST_CASE("damaged archives") {
    // A directory beyond the file, of which libarchive gives no reason.
    CHECK(says(npz_refusal(from_hex("007079504b0506000000000100010004ffffffff0000000000")), {"damaged archive"}));
    for (size_t size = 0; size < compressed_npz.size(); size += 7)
      CHECK(npz_refusal(compressed_npz.substr(0, size)).size() > 0);
    std::string flipped = stored_npz;
    flipped[flipped.find("PK\1\2") - 1] ^= 1;    // the last byte of the array
    CHECK(says(npz_refusal(flipped), {"member n", "damaged"}));
    CHECK(says(npz_refusal(npy("'<f4'", "()", "1234")), {"damaged archive"}));
    CHECK(says(npz_refusal(changed(changed(stored_npz, "n.npy\1", "n.txt\1"), "n.npyPK", "n.txtPK")),
               {"'n.txt' is not an array"}));
  }

  // Inflating stops at what the header asks for, and the header cannot ask for more than the archive could hold.
  TEST_CASE("members that are larger, or claim to be larger, than they should") {
    const TempDir dir;
    write_npz(dir.path() / "x.npz", {{"big/a", floats({2, 2}, {1, 2, 3, 4})}});
    const MappedFile file(dir.path() / "x.npz");
    const std::string good(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
    CHECK(says(npz_refusal(changed(good, "(2, 2, )", "(1, 2, )")), {"member big/a", "expected 8 bytes", "got more"}));
    CHECK(says(npz_refusal(changed(good, "(2, 2, )", "(2, 9, )")), {"member big/a"}));
    CHECK(says(npz_refusal(changed(good, "(2, 2, ), }", "(9999999,)}")),
               {"member big/a", "more than the file can hold"}));
  }

  TEST_CASE("a written archive is read back, and is not left behind half-written") {
    const TempDir dir;
    const auto path = dir.path() / "x.npz";
    const std::map<std::string, Array> arrays = {{"a/b", floats({2, 1}, {1, 2})}, {"c", floats({}, {3})}};
    write_npz(path, arrays);
    const auto read = read_npz(path);
    CHECK(read.size() == 2);
    CHECK(read.at("a/b").shape == std::vector<int64_t>{2, 1});
    CHECK(read.at("a/b").data == arrays.at("a/b").data);
    CHECK(read.at("c").shape.empty());
    CHECK(says(error_of(ExitCode::failed,
                        [&] {
                          write_npz(path, {{"a", floats({1}, {1})}, {"b", floats({3}, {1})}});
                        }),
               {"member b"}));
    CHECK(read_npz(path).size() == 2);
    CHECK(std::distance(std::filesystem::directory_iterator(dir.path()), {}) == 1);
  }
}
