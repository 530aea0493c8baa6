// The programs with --device cuda, and a run that changes its device.
#include <doctest/doctest.h>
#include "engine/safetensors.h"
#include "tests/run_program.h"

TEST_SUITE_BEGIN("programs on cuda");

namespace {

Flags flags(const std::filesystem::path& out, const std::string& device) {
  return train_flags(out, {{"--val", drawn_set() / "val-*.tar"},
                           {"--device", device},
                           {"--steps", "60"},
                           {"--attention", "relu"},
                           {"--qk-norm", ""},
                           {"--save-every", "2"}});
}

// The largest difference between the weights of two runs.
double difference(const std::filesystem::path& a, const std::filesystem::path& b) {
  const SafeTensors one(a / "last.safetensors"), other(b / "last.safetensors");
  double largest = 0;
  for (const auto& [name, tensor] : one.tensors()) {
    const std::vector<float> u = one.floats(name), v = other.floats(name);
    for (size_t i = 0; i < u.size(); i++) largest = std::max(largest, std::abs(double(u[i]) - v[i]));
  }
  return largest;
}

}  // namespace

TEST_CASE("train and eval; a run started on one device goes on on the other") {
  TempDir dir;
  std::map<std::string, std::filesystem::path> runs;
  for (const auto& [name, first, second] : {std::tuple{"cpu", "cpu", "cpu"},
                                            {"cuda", "cuda", "cuda"},
                                            {"mixed", "cuda", "cpu"},
                                            {"other", "cpu", "cuda"}}) {
    const std::filesystem::path out = runs[name] = dir.path() / name;
    Child child("train", arguments_of(flags(out, first)));
    child.wait_until([&] { return std::filesystem::exists(out / "last.state"); });
    child.signal(SIGTERM);
    const int code = child.wait().code;
    CHECK(code == 143);
    const Ended end = train({{"--resume", ""}, {"--out", out}, {"--device", second}});
    INFO(end.err);
    CHECK(end.code == 0);
    CHECK(end.err.find(std::string("device  ") + second) != std::string::npos);
  }
  CHECK(difference(runs["cpu"], runs["cuda"]) <= 2e-4);
  CHECK(difference(runs["cpu"], runs["mixed"]) <= 2e-4);
  CHECK(difference(runs["cpu"], runs["other"]) <= 2e-4);
  const Ended on_cpu = eval(
      "accuracy",
      {{"--checkpoint", runs["cuda"] / "last.safetensors"}, {"--data", drawn_set() / "val-*.tar"}, {"--json", ""}});
  const Ended on_cuda = eval("accuracy", {{"--checkpoint", runs["cuda"] / "last.safetensors"},
                                          {"--data", drawn_set() / "val-*.tar"},
                                          {"--json", ""},
                                          {"--device", "cuda"}});
  CHECK(on_cuda.code == 0);
  CHECK(on_cuda.out.substr(0, 40) == on_cpu.out.substr(0, 40));
}

TEST_SUITE_END();
