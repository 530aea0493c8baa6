// Runs that are killed at random moments end as one that was not: weights, and every row of every log.
#include <random>

#include "data/index.h"
#include "engine/random.h"
#include "tests/error_of.h"
#include "tests/run_logs.h"
#include "tests/tar_builder.h"

namespace {
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// Kills of each kind of run; more by RELUCENT_KILLS.
int kills() {
  const char* wanted = std::getenv("RELUCENT_KILLS");
  return wanted ? std::atoi(wanted) : 4;
}

// 24 pictures and 3 that are damaged.
fs::path some_damaged() {
  const Index index = Index::open(drawn_set() / "train-*.tar", {});
  std::string tar;
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < 24; i++) {
    index.read(i, bytes);
    tar += tar_entry(fmt::format("{:02}.jpg", i), {bytes.begin(), bytes.end()}) +
           tar_entry(fmt::format("{:02}.cls", i), "1");
    if (i % 8 == 3)
      tar += tar_entry(fmt::format("bad{:02}.jpg", i), "no picture") + tar_entry(fmt::format("bad{:02}.cls", i), "1");
  }
  return write_file(common_folder() / "some-damaged.tar", tar + tar_end());
}

// Starts it again and again, killed at a random moment within `longest` seconds, until it has ended before that. How
// often it was killed.
int train_killed(const Flags& flags, const fs::path& out, double longest, std::mt19937& random) {
  for (int killed = 0;; killed++) {
    const bool begun = fs::exists(out / "config.toml");
    Child child("train", begun ? std::vector<std::string>{"--resume", "--out", out} : arguments_of(flags));
    const double wait = std::uniform_real_distribution<double>(0, longest)(random);
    for (const auto end = Clock::now() + std::chrono::duration<double>(wait); Clock::now() < end && !child.ended();)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    child.signal(SIGKILL);
    const Ended ended = child.wait();
    if (ended.code == 128 + SIGKILL) continue;
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    return killed;
  }
}

void check_kind(const std::string& kind, Flags more, const std::vector<std::string>& members) {
  CAPTURE(kind);
  TempDir dir;
  std::mt19937 random(unsigned(kind.size()));
  more.merge(Flags{{"--train", some_damaged()},
                   {"--val", drawn_set() / "val-*.tar"},
                   {"--classes", "10"},
                   {"--steps", "30"},
                   {"--warmup", "3"},
                   {"--save-every", "1"},
                   {"--eval-every", "3"},
                   {"--log-every", "2"},
                   {"--workers", "1"}});
  const fs::path whole = dir.path() / "whole", killed = dir.path() / "killed";
  const auto start = Clock::now();
  const Ended ended = train(train_flags(whole, more));
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  for (int done = 0; done < kills();) {
    fs::remove_all(killed);
    done += train_killed(train_flags(killed, more), killed, 1.2 * seconds, random);
    for (const std::string& member : members) {
      check_same_run(whole / member, killed / member);
      for (const char* weights : {"best.safetensors", "average.safetensors"})
        if (fs::exists(whole / member / weights))
          check_same_tensors(whole / member / weights, killed / member / weights);
      check_same_logs(whole / member, killed / member);
      CHECK(lines_of(killed / member / "damaged.txt").size() == 3);
    }
    for (const auto& entry : fs::recursive_directory_iterator(killed))
      CHECK_MESSAGE(!entry.path().filename().string().starts_with("."), entry.path().string() << " is left");
  }
}
}  // namespace

TEST_SUITE("kills") {
  TEST_CASE("a plain run") { check_kind("plain", {}, {""}); }
  TEST_CASE("a grid") {
    check_kind("grid", {{"--attention", "softmax,relu"}, {"--steps", "15"}, {"--inspect-every", "4"}},
               {"softmax", "relu-alpha1"});
  }
  TEST_CASE("micro-batches, recomputation, an average, looks inside, saves between logged rows") {
    check_kind(
        "all at once",
        {{"--micro-batch", "3"}, {"--remat", ""}, {"--ema", "0.9"}, {"--inspect-every", "2"}, {"--log-every", "7"}},
        {""});
  }
  TEST_CASE(
      "two processes that start at once on one folder: one is refused, and after a kill the run ends as one that was "
      "alone") {
    TempDir dir;
    std::mt19937 random(2);
    const Flags more{{"--val", drawn_set() / "val-*.tar"}, {"--steps", "40"}, {"--save-every", "1"}};
    const fs::path whole = dir.path() / "whole", out = dir.path() / "out";
    REQUIRE(train(train_flags(whole, more)).code == 0);
    for (int i = 0; i < kills(); i++) {
      fs::remove_all(out);
      const Flags flags = train_flags(out, more);
      Child a("train", arguments_of(flags)), b("train", arguments_of(flags));
      Child &refused = [&]() -> Child& {
        a.wait_until([&] { return a.ended() || b.ended(); });
        return a.ended() ? a : b;
      }();
      Child& other = &refused == &a ? b : a;
      const Ended one = refused.wait();
      CHECK_MESSAGE(one.code == 1, one.err);
      CHECK(says(one.err, {"another process writes into this folder"}));
      std::this_thread::sleep_for(std::chrono::milliseconds(random() % 200));
      other.signal(SIGKILL);
      other.wait();
      if (fs::exists(out / "config.toml")) REQUIRE(train({{"--resume", ""}, {"--out", out}}).code == 0);
      else REQUIRE(train(flags).code == 0);
      check_same_run(whole, out);
      check_same_logs(whole, out);
    }
  }
}
