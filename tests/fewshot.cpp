// The linear probe and its support sets against Big Vision's rule written in NumPy, and the errors a user can cause.
#include <cmath>
#include <limits>
#include <set>
#include "models/fewshot.h"
#include "tests/error_of.h"

TEST_SUITE_BEGIN("fewshot");

static uint32_t hash(uint32_t i) {
  uint32_t x = i * 2654435761u;
  x = (x ^ x >> 15) * 2246822519u;
  return x ^ x >> 13;
}

// Samples first ... first + n - 1 of an endless set: uniform noise, and `gap` added to the features of the label.
static void hashed(int first, int n, int width, int classes, float gap, std::vector<float>& features,
                   std::vector<int>& labels) {
  for (int k = first; k < first + n; k++) {
    labels.push_back(int(hash(k + 1000003) % classes));
    for (int j = 0; j < width; j++)
      features.push_back(float(hash(k * width + j) >> 8) * 0x1p-24f + (j % classes == labels.back() ? gap : 0));
  }
}

static FewshotTask hashed_task(int train, int test, int width, int classes, float gap) {
  FewshotTask task{.name = "hashed", .width = width, .train = {}, .test = {}, .train_labels = {}, .test_labels = {}};
  hashed(0, train, width, classes, gap, task.train, task.train_labels);
  hashed(train, test, width, classes, gap, task.test, task.test_labels);
  return task;
}

static std::vector<int> correct(const std::vector<FewshotResult>& results) {
  std::vector<int> counts;
  for (const FewshotResult& r : results) counts.push_back(int(r.correct));
  return counts;
}

static LinearProbe probe(const FewshotTask& task, int classes, int shots, int seed, double l2) {
  std::vector<float> features;
  std::vector<int> labels;
  for (int i : support_set(task.train_labels, classes, shots, seed)) {
    labels.push_back(task.train_labels[i]);
    for (int j = 0; j < task.width; j++) features.push_back(task.train[i * task.width + j]);
  }
  return LinearProbe(features, labels, task.width, classes, l2);
}

static std::string digits(const std::vector<int>& classes) {
  std::string text;
  for (int c : classes) text += char('0' + c);
  return text;
}

TEST_CASE("mean, scale, scores and predictions of waves") {
  std::vector<float> train, test;
  for (int i = 0; i < 24; i++) train.push_back(float(std::sin(0.7 * i)));
  for (int i = 0; i < 20; i++) test.push_back(float(std::cos(0.3 * i)));
  const LinearProbe probe(train, std::vector{0, 0, 1, 1, 2, 2}, 4, 3, 1024);
  const double mean[] = {0.094958, 0.142826, 0.123520, 0.046121};
  const double scale[] = {0.721934, 0.518848, 0.618902, 0.820805};
  for (int i = 0; i < 4; i++) {
    CHECK(std::abs(probe.mean()[i] - mean[i]) < 1e-6);
    CHECK(std::abs(probe.scale()[i] - scale[i]) < 1e-6);
  }
  const std::vector<double> scores = probe.scores(test);
  REQUIRE(scores.size() == 15);
  const double first[] = {-0.32803, -0.32715, -0.32804};
  for (int i = 0; i < 3; i++) CHECK(std::abs(scores[i] - first[i]) < 1e-5);
  CHECK(probe.predict(test) == std::vector{1, 0, 0, 2, 2});
}

TEST_CASE("predictions with fewer and with more samples than features") {
  const FewshotTask task = hashed_task(300, 150, 24, 7, 0.35f);
  CHECK(digits(probe(task, 7, 1, 0, 1024).predict(task.test)) ==
        "5333542561153533133333350335015105243531033533203123344323443455353353354530553533632535333355343453"
        "33336453345133352114555013610353552360333325553323");
  CHECK(digits(probe(task, 7, 10, 1, 1024).predict(task.test)) ==
        "4564424660160015145443321563416432341361452203605135364334625200420331662510046443442630624051323413"
        "42515246426131431352656413335553340230403601430522");
  CHECK(digits(probe(task, 7, 10, 1, 0.5).predict(task.test)) ==
        "4664324660160015145146321563343633461361452605604163364224225202425331612410046460646600016655021422"
        "42152246426131431552655413332543340234405621450522");
}

TEST_CASE("correct predictions per seed and shots") {
  const FewshotTask task = hashed_task(300, 150, 24, 7, 0.35f);
  const std::vector<FewshotResult> results = fewshot(task, {1, 2, 5, 10, 25, 1000}, 3, 1024);
  CHECK(correct(results) == std::vector{33, 61, 82, 88, 107, 109, 46, 60, 85, 97, 108, 109, 34, 43, 84, 93, 111, 109});
  CHECK(results[7].task == "hashed");
  CHECK(results[7].seed == 1);
  CHECK(results[7].shots == 2);
  CHECK(results[7].count == 150);
  CHECK(results[7].accuracy() == 60 / 150.0);
}

TEST_CASE("classes of one to eleven samples give those that they have") {
  const FewshotTask task = hashed_task(120, 100, 64, 20, 0.6f);
  CHECK(support_set(task.train_labels, 20, 5, 0).size() == 87);
  CHECK(support_set(task.train_labels, 20, 10, 0).size() == 119);
  CHECK(correct(fewshot(task, {1, 5, 10}, 3, 1024)) == std::vector{22, 69, 59, 38, 69, 59, 37, 69, 60});
}

TEST_CASE("support sets: class by class, in NumPy's order, none twice, more shots around fewer") {
  const std::vector<int> labels = {1, 0, 1, 0, 1, 1, 0, 1, 0, 0};
  CHECK(support_set(std::vector{2, 1, 1, 0, 1, 2, 2, 0, 2, 0}, 3, 2, 0) == std::vector{9, 3, 4, 2, 0, 8});
  for (int seed = 0; seed < 5; seed++) {
    for (int shots = 1; shots <= 5; shots++) {
      const std::vector<int> chosen = support_set(labels, 2, shots, seed);
      const std::vector<int> more = support_set(labels, 2, shots + 1, seed);
      REQUIRE(chosen.size() == size_t(2 * shots));
      for (int i = 0; i < 2 * shots; i++) CHECK(labels[chosen[i]] == i / shots);
      CHECK(std::set(chosen.begin(), chosen.end()).size() == chosen.size());
      for (int i = 0; i < 2 * shots; i++) CHECK(chosen[i] == more[i % shots + i / shots * (more.size() / 2)]);
    }
  }
}

TEST_CASE("a feature that no sample of the support varies does not count") {
  const std::vector<float> train = {0.1f, 0, 0.1f, 1, 0.1f, 0.1f, 0.1f, 0.9f};
  const LinearProbe probe(train, std::vector{0, 1, 0, 1}, 2, 2, 1);
  CHECK(probe.scale()[0] == 1e-5);
  CHECK(probe.scores(std::vector{0.1f, 0.3f}) == probe.scores(std::vector{0.2f, 0.3f}));
}

TEST_CASE("equal scores: the first class") {
  const LinearProbe probe(std::vector<float>{0, 0, 0}, std::vector{0, 1, 2}, 1, 3, 1);
  CHECK(probe.predict(std::vector<float>{0}) == std::vector{0});
}

TEST_CASE("test sets longer than a block of predictions") {
  const FewshotTask task = hashed_task(60, 1500, 5, 3, 1);
  const std::vector<int> all = probe(task, 3, 10, 0, 1024).predict(task.test);
  REQUIRE(all.size() == 1500);
  for (int i : {0, 1023, 1024, 1499}) {
    const std::span<const float> one(task.test.data() + i * 5, 5);
    CHECK(probe(task, 3, 10, 0, 1024).predict(one)[0] == all[i]);
  }
}

TEST_CASE("errors") {
  const FewshotTask good{.name = "birds", .width = 2, .train = {1, 2, 3, 4, 5, 6}, .test = {1, 2, 3, 4},
                         .train_labels = {0, 1, 2}, .test_labels = {0, 2}};
  const auto error = [&](ExitCode code, auto change) {
    FewshotTask task = good;
    change(task);
    return error_of(code, [&] { fewshot(task, {1}, 1, 1024); });
  };
  CHECK(error(ExitCode::ok, [](FewshotTask&) {}) == "no error");
  CHECK(says(error(ExitCode::data, [](FewshotTask& t) { t.test_labels[1] = 3; }),
             {"'birds'", "label 3 of test sample 1", "expected 0 to 2", "no sample of label 3"}));
  CHECK(says(error(ExitCode::data, [](FewshotTask& t) { t.train_labels[1] = 2; }),
             {"'birds'", "label 2 of train sample 1", "no sample of label 1"}));
  CHECK(says(error(ExitCode::data, [](FewshotTask& t) { t.test_labels[0] = -1; }), {"label -1 of test sample 0"}));
  CHECK(says(error(ExitCode::data, [](FewshotTask& t) { t.train_labels[2] = std::numeric_limits<int>::max(); }),
             {"label 2147483647 of train sample 2", "no sample of label 2"}));
  CHECK(says(error(ExitCode::data, [](FewshotTask& t) { t.test.resize(6); }),
             {"'birds'", "6 test features for 2 samples of width 2, expected 4"}));
  CHECK(says(error(ExitCode::data, [](FewshotTask& t) { t.train.pop_back(); }), {"5 train features", "expected 6"}));
  CHECK(says(error(ExitCode::data, [](FewshotTask& t) { t.test = {}, t.test_labels = {}; }), {"no test samples"}));
  CHECK(says(error(ExitCode::data, [](FewshotTask& t) { t.train = {}, t.train_labels = {}; }), {"no train samples"}));
  CHECK(says(error(ExitCode::data, [](FewshotTask& t) { t.width = 0; }), {"width 0", "1 or more"}));
  CHECK(says(error(ExitCode::non_finite, [](FewshotTask& t) { t.train[3] = NAN; }),
             {"feature 1 of train sample 1 is nan"}));
  CHECK(says(error(ExitCode::non_finite, [](FewshotTask& t) { t.test[2] = INFINITY; }),
             {"feature 0 of test sample 1 is inf"}));

  const auto settings = [&](std::vector<int> shots, int seeds, double l2) {
    return error_of(ExitCode::usage, [&] { fewshot(good, shots, seeds, l2); });
  };
  CHECK(says(settings({}, 1, 1), {"--shots"}));
  CHECK(says(settings({5, 0}, 1, 1), {"--shots: 0", "1 or more"}));
  CHECK(says(settings({1, 5, 1}, 1, 1), {"--shots: 1", "twice"}));
  CHECK(says(settings({1}, 0, 1), {"--seeds: 0"}));
  for (double l2 : {0.0, -1.0, double(NAN), double(INFINITY)}) CHECK(says(settings({1}, 1, l2), {"--l2"}));

  // equal samples, and a penalty lost beside 100²
  CHECK(says(error_of(ExitCode::non_finite, [] { LinearProbe(std::vector<float>(8), std::vector{0, 1}, 4, 2, 1e-20); }),
             {"l2 1e-20", "larger"}));
}

TEST_SUITE_END();
