// What launches are counted to move, against numbers that follow from what each kernel does.
#include <doctest/doctest.h>
#include "engine/cuda/kernels.h"
#include "engine/ops/layernorm.h"
#include "tests/attention_problem.h"
#include "tests/emulator/counting/marks.h"
#include "tests/emulator/traffic.h"
#include "tests/run_program.h"

TEST_SUITE_BEGIN("traffic");

namespace {

constexpr size_t f32 = sizeof(float), b16 = sizeof(bf16);        // bytes

std::string moved(const std::string& name, size_t read, size_t written) {
  return fmt::format("{}: {} read, {} written", name, read, written);
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

// That these were launched since the last call, and nothing else.
void check_launches(const std::vector<std::string>& expected) {
  std::vector<std::string> got;
  for (const emulator::Launch& l : emulator::take_launches()) got.push_back(moved(l.name, l.read, l.written));
  CHECK(joined(got) == joined(expected));
}

// A device, and memory for n numbers on it that ends with the test.
struct OnDevice {
  std::unique_ptr<Device> device;
  std::vector<std::unique_ptr<DeviceValues>> values = {};
  explicit OnDevice(const CudaOptions& options = {}) : device(make_cuda(options)) { emulator::take_launches(); }
  float* reals(size_t n) {
    return values.emplace_back(std::make_unique<DeviceValues>(*device, std::vector<float>(n, 1)))->data();
  }
  bf16* rounded(size_t n) { return reinterpret_cast<bf16*>(reals((n + 1) / 2)); }
};

}  // namespace

TEST_CASE("what g++ calls at accesses, of every size, anywhere, in device memory alone") {
  OnDevice on;
  char* const memory = reinterpret_cast<char*>(on.reals(250));              // 1000 bytes, of 1024 that cudaMalloc gives
  auto check = [&](size_t read, size_t written, auto access) {
    for (const int at : {0, 48, 60, 63, 64, 250, 255, 600}) {
      begin_marking();
      for (int twice = 0; twice < 2; twice++) access(memory + at);
      const Moved moved = end_marking();
      CHECK(moved.read == read);
      CHECK(moved.written == written);
    }
  };
  check(1, 0, __tsan_read1), check(2, 0, __tsan_read2), check(4, 0, __tsan_read4);
  check(8, 0, __tsan_read8), check(16, 0, __tsan_read16);
  check(0, 1, __tsan_write1), check(0, 2, __tsan_write2), check(0, 4, __tsan_write4);
  check(0, 8, __tsan_write8), check(0, 16, __tsan_write16);
  check(2, 0, __tsan_unaligned_read2), check(4, 0, __tsan_unaligned_read4);
  check(8, 0, __tsan_unaligned_read8), check(16, 0, __tsan_unaligned_read16);
  check(0, 2, __tsan_unaligned_write2), check(0, 4, __tsan_unaligned_write4);
  check(0, 8, __tsan_unaligned_write8), check(0, 16, __tsan_unaligned_write16);
  check(300, 20, [](char* at) { __tsan_read_range(at, 300), __tsan_write_range(at, 20); });
  char local[64];
  check(0, 0, [&](char*) { __tsan_write8(local), __tsan_read_range(local, sizeof local); });
  __tsan_write8(memory);                                                    // outside of a launch
  check(0, 0, [](char*) {});
}

TEST_CASE("a thread an element") {
  OnDevice on;
  const size_t n = 1000;
  float *x = on.reals(n), *y = on.reals(n);
  on.device->each(n, Fill{y, 2});
  on.device->each(n, Accumulate{y, x, 1});
  on.device->each(n, Accumulate{y, y, 1});
  on.device->each(n, Round{on.rounded(n), x});
  check_launches({moved("Fill", 0, n * f32), moved("Accumulate", 2 * n * f32, n * f32),
                  moved("Accumulate", n * f32, n * f32), moved("Round", n * f32, n * b16)});
}

TEST_CASE("pieces that begin and end anywhere, and what was counted is forgotten") {
  OnDevice on;
  float *x = on.reals(1000), *y = on.reals(1000);
  bf16* z = on.rounded(1000);
  for (size_t first : {0, 1, 63, 64, 65})
    for (size_t n : {1, 7, 64, 500}) {
      on.device->each(n, Accumulate{y + first, x + 3 * first, 1});
      on.device->each(n, Round{z + first, x + first});
      check_launches({moved("Accumulate", 2 * n * f32, n * f32), moved("Round", n * f32, n * b16)});
    }
}

TEST_CASE("sums of columns, which round on the way") {
  OnDevice on;
  const size_t rows = 300, C = 100, chunks = 3, slices = 4;
  float *x = on.reals(rows * C), *partial = on.reals((chunks + 1) * C), *sums = on.reals(C);
  const RoundingValues term{on.rounded(rows * C), x, C};
  on.device->rows(chunks * slices,
                  ColumnSumsOfChunk<RoundingValues>{partial, term, rows, 128, int(C), int(slices), 32});
  on.device->rows(C / 4, SumOfChunks{sums, partial, int(chunks), int(C), 4, 1});
  check_launches({moved("ColumnSumsOfChunk<RoundingValues>", rows * C * f32, rows * C * b16 + chunks * C * f32),
                  moved("SumOfChunks", (chunks + 2) * C * f32, 2 * C * f32)});
}

TEST_CASE("rows that a kernel walks several times count once") {
  OnDevice on;
  const size_t rows = 50, C = 100;
  float *x = on.reals(rows * C), *y = on.reals(rows * C), *w = on.reals(C), *b = on.reals(C);
  float *mean = on.reals(rows), *rstd = on.reals(rows);
  const RowsOf<const real> in{x, Divisor(1, rows), C, int(C)};
  on.device->rows(rows, LayerNormForward<real>{{y}, mean, rstd, in, w, b, int(C)});
  on.device->rows(rows, LayerNormForward<real>{{nullptr, on.rounded(rows * C)}, mean, rstd, in, w, nullptr, int(C)});
  check_launches({moved("LayerNormForward<float>", (rows + 2) * C * f32, rows * C * f32 + 2 * rows * f32),
                  moved("LayerNormForward<float>", (rows + 1) * C * f32, rows * C * b16 + 2 * rows * f32)});
}

TEST_CASE("products read their operands, and what they are added to") {
  const size_t m = 5, n = 7, k = 3, batch = 2;
  for (const Precision precision : {Precision::f32, Precision::bf16}) {
    OnDevice on({.precision = precision});
    float *a = on.reals(batch * m * k), *b = on.reals(batch * k * n), *c = on.reals(batch * m * n);
    on.device->gemm({.c = c, .a = a, .b = b, .m = m, .n = n, .k = k});
    on.device->gemm({.c = c, .a = a, .b = b, .m = m, .n = n, .k = k, .ta = true, .tb = true, .beta = 1,
                     .batch = batch, .step_a = m * k, .step_b = k * n, .step_c = m * n});
    std::vector<std::string> expected;
    for (const size_t products : {size_t(1), batch}) {
      const size_t A = products * m * k, B = products * k * n, C = products * m * n * f32;
      const bool rounds = precision == Precision::bf16;
      if (rounds)
        for (const size_t operand : {A, B}) expected.push_back(moved("RoundRows", operand * f32, operand * b16));
      expected.push_back(moved("gemm", (A + B) * (rounds ? b16 : f32) + (products == 1 ? 0 : C), C));
    }
    check_launches(expected);
  }
}

TEST_CASE("a matrix that all products of a batch share is read once") {
  OnDevice on;
  const size_t m = 5, n = 7, k = 3, batch = 2, c_bytes = batch * m * n * f32;
  float *a = on.reals(batch * m * k), *b = on.reals(batch * k * n), *c = on.reals(batch * m * n);
  on.device->gemm({.c = c, .a = a, .b = b, .m = m, .n = n, .k = k, .batch = batch, .step_b = k * n, .step_c = m * n});
  on.device->gemm({.c = c, .a = a, .b = b, .m = m, .n = n, .k = k, .batch = batch, .step_a = m * k, .step_c = m * n});
  check_launches({moved("gemm", (m * k + batch * k * n) * f32, c_bytes),
                  moved("gemm", (batch * m * k + k * n) * f32, c_bytes)});
}

TEST_CASE("fused attention: what a kernel takes passes once, however many tiles there are") {
  OnDevice on({.precision = Precision::bf16});
  const Problem p{2, 3, 70, 130, 64};
  const size_t q = p.q.size() * f32, kv = p.kv.size() * f32, o = q, d_o = q;
  const size_t rounded = (q + kv + d_o) / 2;
  for (const std::string function : {"Softmax", "Relu"}) {
    const size_t number = function == "Softmax" ? size_t(p.B) * p.H * p.Lq * f32 : 0;         // log Σ e^s, and do · o
    const std::string forward = "(anonymous namespace)::Forward<" + function + ">";
    const std::string backward = "(anonymous namespace)::Backward<" + function + ">";
    run(*on.device, p, function == "Softmax" ? "softmax" : "relu");
    check_launches({moved("Round", q, q / 2), moved("Round", kv, kv / 2), moved(forward, (q + kv) / 2, o + number),
                    moved("Round", d_o, d_o / 2), moved("Fill", 0, q), moved("Fill", 0, kv),
                    moved(backward, rounded + (number ? o : 0) + number + q,
                          q + number),  // dq and then dk, dv are added to what is there
                    moved(backward, rounded + 2 * number + kv, kv)});
  }
}

TEST_CASE("fused attention of what a product made and a product reads moves half of that, and adds to nothing") {
  OnDevice on({.precision = Precision::bf16});
  const int B = 2, L = 70, H = 3, d = 32, C = H * d, n = B * L * C * int(b16);
  const DeviceValues x(*on.device, random_values(B * L * C, 1)), w(*on.device, random_values(3 * C * C, 2)),
      b(*on.device, random_values(3 * C, 3));
  const DeviceValues dw(*on.device, std::vector<float>(3 * C * C));
  Tape tape(*on.device);
  Tensor qkv = linear(tape, tape.leaf("x", {B, L, C}, x.data()), tape.leaf("w", {3 * C, C}, w.data(), dw.data()),
                      tape.leaf("b", {3 * C}, b.data()), {}, Kept::for_products);
  Tensor o = attention(tape, {qkv}, {qkv, C}, {qkv, 2 * C}, H, d, "relu", 1, nullptr, {}, 0, Kept::for_products);
  Tensor y = linear(tape, o, tape.leaf("last", {C, C}, w.data()));
  tape.backward(y);
  std::map<std::string, size_t> read, written;
  for (const emulator::Launch& launch : emulator::take_launches())
    if (launch.name.find("ward<Relu>") != std::string::npos)
      read[launch.name] += launch.read, written[launch.name] += launch.written;
  CHECK(read["(anonymous namespace)::Forward<Relu>"] == size_t(3 * n));
  CHECK(written["(anonymous namespace)::Forward<Relu>"] == size_t(n));
  CHECK(read["(anonymous namespace)::Backward<Relu>"] == size_t(2 * 4 * n));
  CHECK(written["(anonymous namespace)::Backward<Relu>"] == size_t(3 * n));
}

TEST_CASE("EMULATOR_LAUNCHES: the same in a table") {
  const TempDir folder;
  const std::string path = folder.path() / "launches.csv";
  auto run_element_kernels = [](const std::string& table) {
    ::setenv("EMULATOR_LAUNCHES", table.c_str(), 1);
    const Ended ended = run_program("/proc/self/exe", {"-tc=a thread an element"});
    ::unsetenv("EMULATOR_LAUNCHES");
    return ended;
  };
  CHECK(run_element_kernels(path).code == 0);
  std::ifstream table(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(table, line);) std::erase(lines.emplace_back(line), '"');
  REQUIRE(lines.size() == 2 + 4);
  CHECK(lines[0].starts_with("ID,Process ID,Process Name,Host Name,Kernel Name,Context,Stream,Block Size,Grid Size,"));
  CHECK(lines[0].ends_with(",dram__bytes_read.sum,dram__bytes_write.sum,gpu__time_duration.sum"));
  CHECK(lines[1] == ",,,,,,,,,,,byte,byte,ns");
  CHECK(lines[3].starts_with("1,"));
  CHECK(lines[3].ends_with(",void (anonymous namespace)::each_kernel<Accumulate>(Accumulate, unsigned long),"
                           "1,7,(256, 1, 1),(4, 1, 1),0,9.0,8000,4000,0"));

  const Ended failed = run_element_kernels("/nowhere/launches.csv");
  CHECK(failed.code == 3);
  CHECK(failed.err.find("/nowhere/launches.csv cannot be written: No such file or directory") != std::string::npos);
}

TEST_SUITE_END();
