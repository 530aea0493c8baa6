#include "engine/safetensors.h"

#include <cmath>
#include <cstring>
#include <doctest/doctest.h>

#include "tests/error_of.h"
#include "tests/temp_dir.h"

namespace {
// A file as its two parts say; `data` bytes count up from 0.
std::filesystem::path make(const TempDir& dir, const std::string& header, size_t data, int64_t claimed = -1) {
  const auto path = dir.path() / "x.safetensors";
  write_atomically(path, [&](Writer& file) {
    const uint64_t size = claimed < 0 ? header.size() : uint64_t(claimed);
    file.write(std::as_bytes(std::span(&size, 1)));
    file.write(header);
    std::string bytes;
    for (size_t i = 0; i < data; i++) bytes += char(i);
    file.write(bytes);
  });
  return path;
}

std::string refusal(const std::string& header, size_t data, int64_t claimed = -1) {
  const TempDir dir;
  const auto path = make(dir, header, data, claimed);
  const std::string message = error_of(ExitCode::data, [&] { const SafeTensors file(path); });
  CHECK(says(message, {"x.safetensors"}));
  return message;
}

template <class T>
StoredTensor stored(const std::string& name, const std::string& dtype, std::vector<int64_t> shape,
                    const std::vector<T>& values) {
  return {name, dtype, std::move(shape), std::as_bytes(std::span(values))};
}
}    // namespace

TEST_SUITE("safetensors") {
  TEST_CASE("a file as others write it") {
    const TempDir dir;
    const SafeTensors file(make(dir,
                                R"({"b":{"dtype":"U8","shape":[2,2],"data_offsets":[2,6]},"__metadata__":{"k":"v"},)"
                                R"("none":{"dtype":"F32","shape":[0,3],"data_offsets":[2,2]},)"
                                R"("a/ü":{"dtype":"I16","shape":[],"data_offsets":[0,2],"unknown":1}}   )",
                                6));
    CHECK(file.tensors().size() == 3);
    CHECK(file.metadata() == std::map<std::string, std::string>{{"k", "v"}});
    CHECK(file.ints("b") == std::vector<int64_t>{2, 3, 4, 5});
    CHECK(file.ints("a/ü") == std::vector<int64_t>{256});
    CHECK(file.at("a/ü").shape.empty());
    CHECK(file.floats("none").empty());
    CHECK(says(error_of(ExitCode::data, [&] { file.floats("b"); }),
               {"x.safetensors", "\"b\"", "expected floating point", "got U8"}));
    CHECK(says(error_of(ExitCode::data, [&] { file.at("c"); }), {"x.safetensors", "\"c\" is missing"}));
  }

  TEST_CASE("metadata that another program hands on when it writes a file again say nothing of its bytes") {
    const TempDir dir;
    const std::string tensor = R"("a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]})",
                      stale = R"("crc32":"00000000")";
    const SafeTensors again(make(dir, R"({"__metadata__":{"format":"pt",)" + stale + "}," + tensor + "}", 4));
    CHECK(again.ints("a") == std::vector<int64_t>{0, 1, 2, 3});
    const std::string ours = R"("a":{"data_offsets":[0,4],"dtype":"U8","shape":[4]})";
    std::string header = "{\"__metadata__\":{" + stale + R"(,"format":"pt"},)" + ours + "}";
    header.resize((header.size() + 7) / 8 * 8, ' ');
    CHECK(says(refusal(header, 4), {"damaged", "expected checksum 00000000", "copy it again"}));
  }

  TEST_CASE("what the format forbids") {
    const auto one = [](const std::string& fields) { return R"({"a\n":{)" + fields + "}}"; };
    const std::string good = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";
    {
      const TempDir dir;
      CHECK(SafeTensors(make(dir, one(good), 8)).tensors().contains("a\n"));
    }
    CHECK(says(refusal(one(good), 9), {"expected 8 bytes", "got 9"}));
    CHECK(says(refusal(one("\"shape\":" + std::string(1'000'000, '[') + std::string(1'000'000, ']')), 0),
               {"the header is nested"}));
    CHECK(says(refusal(one(good), 7), {R"("a\n")", "ends at byte 8", "has 7"}));
    CHECK(says(refusal(one(good), 8, 1000), {"header of 1000 bytes in a file of"}));
    CHECK(says(refusal(one(good), 8, 100'000'001), {"header of 100000001"}));
    CHECK(says(refusal(one(good), 8, INT64_MAX), {"header of"}));
    CHECK(says(
        refusal(
            R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
            R"("b":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}})",
            7),
        {"\"b\"", "at byte 4, got 3", "overlap"}));
    CHECK(says(
        refusal(
            R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
            R"("b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
            4),
        {"overlap"}));
    CHECK(says(
        refusal(
            R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
            R"("b":{"dtype":"U8","shape":[4],"data_offsets":[5,9]}})",
            9),
        {"\"b\"", "at byte 4, got 5", "hole"}));
    CHECK(says(refusal(one(R"("dtype":"U8","shape":[4],"data_offsets":[1,5])"), 5), {"hole"}));
    CHECK(says(refusal(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,7])"), 7),
               {"expected 8 bytes (F32 of shape [2])", "[0,7]"}));
    CHECK(says(refusal(one(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), 8), {"expected 8 bytes"}));
    CHECK(says(refusal(one(R"("dtype":"F31","shape":[2],"data_offsets":[0,8])"), 8), {"unknown dtype \"F31\""}));
    CHECK(says(refusal(one(R"("dtype":"F4","shape":[3],"data_offsets":[0,1])"), 1), {"no whole number of bytes"}));
    CHECK(says(refusal(one(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0])"), 0),
               {"no whole number"}));
    CHECK(says(refusal(one(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), 8), {"shape [-2]"}));
    CHECK(says(refusal(one(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])"), 8), {"shape [2.0]"}));
    CHECK(says(refusal(one(R"("dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8])"), 8), {"shape"}));
    CHECK(says(refusal(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,9])"), 8), {"data_offsets"}));
    CHECK(says(refusal(one(R"("dtype":"F32","shape":[2])"), 8), {"expected dtype, shape and data_offsets"}));
    CHECK(says(refusal(R"({"a":[]})", 0), {"expected dtype, shape and data_offsets"}));
    CHECK(says(refusal("{\"a\":{" + good + "},\"a\":{" + good + "}}", 8), {"has \"a\" twice"}));
    CHECK(says(refusal(one(R"("dtype":"F32","dtype":"I32","shape":[2],"data_offsets":[0,8])"), 8),
               {"has \"dtype\" twice"}));
    CHECK(says(refusal(R"({"__metadata__":{"k":1}})", 0), {"metadata \"k\"", "expected a string, got 1"}));
    CHECK(says(refusal(R"({"__metadata__":"k"})", 0), {"__metadata__"}));
    CHECK(says(refusal("[]", 0), {"expected a JSON object"}));
    CHECK(says(refusal("{\"a\n" + std::string(5000, 'x'), 0), {"not JSON"}));
    CHECK(refusal("{\"a" + std::string(5000, 'x'), 0).size() < 300);
    CHECK(says(refusal("", 0), {"not JSON"}));
    CHECK(says(refusal(std::string(100'000, '['), 0), {"nested"}));
    CHECK(says(refusal("{\"a\xff\":1}", 0), {"not JSON"}));
    CHECK(says(refusal("\0\0\0\0", 0, 0), {"not JSON"}));
    const TempDir dir;
    const auto large = make(dir, "{}", 0, 100'000'001);
    std::filesystem::resize_file(large, 100'000'100);    // a sparse file that could hold such a header
    CHECK(says(error_of(ExitCode::data, [&] { SafeTensors{large}; }), {"header of 100000001"}));
    write_atomically(dir.path() / "short", [](Writer& file) { file.write("1234567"); });
    CHECK(says(error_of(ExitCode::data, [&] { SafeTensors(dir.path() / "short"); }), {"7 bytes are too few"}));
  }

  TEST_CASE("what is written is read back, widest elements first, each at its alignment") {
    const TempDir dir;
    const auto path = dir.path() / "x.safetensors";
    const std::vector<uint8_t> bytes = {1, 2, 3};
    const std::vector<float> floats = {1.5f, -0.0f, INFINITY, 1e-42f};
    const std::vector<int64_t> longs = {INT64_MIN, 7};
    const std::vector<uint16_t> halves = {0x3f80, 0xc049};
    write_safetensors(path,
                      {stored("bytes", "U8", {3}, bytes), stored("z", "F32", {2, 2}, floats),
                       stored("b", "F32", {4}, floats), stored("longs", "I64", {2}, longs),
                       stored("halves", "BF16", {1, 2}, halves), stored("none", "F32", {0}, std::vector<float>())},
                      {{"note", "a \"quoted\"\nline"}});
    const SafeTensors file(path);
    CHECK(file.tensors().size() == 6);
    CHECK(file.metadata().at("note") == "a \"quoted\"\nline");
    CHECK(file.metadata().at("format") == "pt");
    CHECK(file.metadata().contains("crc32"));
    CHECK(std::memcmp(file.floats("z").data(), floats.data(), 16) == 0);
    CHECK(file.floats("halves") == std::vector<float>{1.0f, -3.140625f});
    CHECK(file.ints("longs") == longs);
    CHECK(file.ints("bytes") == std::vector<int64_t>{1, 2, 3});
    const auto start = [&](const char* name) { return file.at(name).bytes.data(); };
    CHECK(start("longs") < start("b"));
    CHECK(start("b") < start("z"));
    CHECK(start("z") < start("halves"));
    CHECK(start("halves") < start("bytes"));
    CHECK(reinterpret_cast<uintptr_t>(start("longs")) % 8 == 0);
  }

  TEST_CASE("one changed bit of a tensor is found") {
    const TempDir dir;
    const auto path = dir.path() / "x.safetensors";
    const std::vector<float> floats(1000, 1.0f);
    write_safetensors(path, {stored("a", "F32", {1000}, floats), stored("b", "F32", {1000}, floats)});
    std::string damaged;
    {
      const MappedFile file(path);
      damaged.assign(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
    }
    damaged[damaged.size() - 2000] ^= 4;
    write_atomically(path, [&](Writer& file) { file.write(damaged); });
    CHECK(
        says(error_of(ExitCode::data, [&] { SafeTensors{path}; }), {"x.safetensors", "damaged", "expected checksum"}));
  }

  TEST_CASE("what must not be written") {
    const TempDir dir;
    const auto path = dir.path() / "x.safetensors";
    const std::vector<float> floats = {1, 2};
    const auto refused = [&](std::vector<StoredTensor> tensors, std::map<std::string, std::string> metadata = {}) {
      return error_of(ExitCode::failed, [&] { write_safetensors(path, tensors, metadata); });
    };
    CHECK(says(refused({stored("a", "F32", {3}, floats)}), {"8 bytes", "tensor a", "[3]"}));
    CHECK(says(refused({stored("a", "F32", {2}, floats), stored("a", "F32", {2}, floats)}), {"a given twice"}));
    CHECK(std::filesystem::is_empty(dir.path()));
  }

  TEST_CASE("metadata of any bytes are kept in a form that JSON holds") {
    const TempDir dir;
    const auto path = dir.path() / "x.safetensors";
    write_safetensors(path, {}, {{"name", "k\xE4tzchen"}});
    CHECK(SafeTensors(path).metadata().at("name") == "k\\xE4tzchen");
  }

  TEST_CASE("elements of all kinds") {
    const auto bytes = [](const auto& values) { return std::as_bytes(std::span(values)); };
    const std::vector<uint16_t> halves = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x0400, 0x7c00, 0xfc00, 0x8000};
    CHECK(to_floats("F16", bytes(halves), "x") ==
          std::vector<float>{1, -2, 65504, 0x1p-24f, 0x1p-14f, INFINITY, -INFINITY, -0.0f});
    CHECK(std::isnan(to_floats("F16", bytes(std::vector<uint16_t>{0x7e00}), "x")[0]));
    CHECK(to_floats("F64", bytes(std::vector<double>{0.1}), "x") == std::vector<float>{0.1f});
    CHECK(to_ints("I8", bytes(std::vector<int8_t>{-1}), "x") == std::vector<int64_t>{-1});
    CHECK(to_ints("U8", bytes(std::vector<int8_t>{-1}), "x") == std::vector<int64_t>{255});
    CHECK(to_ints("I16", bytes(std::vector<int16_t>{-2}), "x") == std::vector<int64_t>{-2});
    CHECK(to_ints("U16", bytes(std::vector<int16_t>{-1}), "x") == std::vector<int64_t>{65535});
    CHECK(to_ints("I32", bytes(std::vector<int32_t>{-3}), "x") == std::vector<int64_t>{-3});
    CHECK(to_ints("U32", bytes(std::vector<int32_t>{-1}), "x") == std::vector<int64_t>{4294967295});
    CHECK(to_ints("U64", bytes(std::vector<uint64_t>{5}), "x") == std::vector<int64_t>{5});
    CHECK(says(error_of(ExitCode::data, [&] { to_ints("U64", bytes(std::vector<uint64_t>{~0ull}), "x"); }),
               {"does not fit"}));
    CHECK(says(error_of(ExitCode::data, [&] { to_ints("F32", bytes(std::vector<float>{1}), "x"); }),
               {"expected integers, got F32"}));
  }
}
