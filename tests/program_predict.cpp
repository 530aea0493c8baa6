// eval predict and eval confusion as a user has them: what they read, and what they count.
#include "data/encode.h"
#include "data/index.h"
#include "engine/json.h"
#include "engine/npy.h"
#include "engine/text.h"
#include "tests/archive_builder.h"
#include "tests/run_program.h"
#include "tests/tar_builder.h"

namespace {
namespace fs = std::filesystem;

const fs::path& weights() {
  static const fs::path file = [] {
    const Ended ended = train(train_flags(common_folder() / "predicting"));
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    return common_folder() / "predicting" / "last.safetensors";
  }();
  return file;
}

Ended predict(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"predict", "--checkpoint", weights(), "--threads", "1"});
  return run_program("eval", arguments);
}

std::string jpeg_of(const Index& index, size_t i) {
  std::vector<uint8_t> bytes;
  index.read(i, bytes);
  return {bytes.begin(), bytes.end()};
}

// Cells of a CSV without quotes in it.
std::vector<std::vector<std::string>> rows_of(const fs::path& csv) {
  std::vector<std::vector<std::string>> rows;
  for (const std::string& line : lines_of_file(csv)) rows.push_back(split(line, ","));
  return rows;
}
}    // namespace

TEST_SUITE_BEGIN("program predict");

TEST_CASE("predictions of files, folders, archives and shards are those of the same images") {
  TempDir dir;
  const Index index = Index::open(drawn_set() / "val-*.tar", {});
  const fs::path pictures = dir.path() / "pictures", csv = dir.path() / "p.csv";
  // in the order of their paths, deep and shallow; "other" is no class of the model
  const std::vector<std::string> names = {"deep/er/star/b.jpg", "disc/a.jpg", "other/c.jpg", "z.jpg"};
  std::vector<std::pair<std::string, std::string>> files;
  for (size_t i = 0; i < names.size(); i++) {
    fs::create_directories((pictures / names[i]).parent_path());
    write_file(pictures / names[i], jpeg_of(index, i));
    files.push_back({names[i], jpeg_of(index, i)});
  }
  write_file(pictures / "notes.txt", "no picture");
  const Ended shards = predict({drawn_set() / "val-*.tar", "--top", "2", "--out", csv});
  REQUIRE_MESSAGE(shards.code == 0, shards.err);
  CHECK(shards.out == csv.string() + ": 12 images\n");
  const auto expected = rows_of(csv);
  REQUIRE(expected.size() == 13);
  CHECK(expected[0] ==
        std::vector<std::string>{"image", "true", "predicted", "probability", "class 2", "probability 2"});
  for (size_t i = 0; i < index.size(); i++) {
    CHECK(expected[i + 1][0] == index.where(i));
    CHECK(expected[i + 1][1] == index.classes()[size_t(index.label(i))]);
  }

  const auto same = [&](const std::vector<std::string>& arguments, const std::string& folder,
                        const std::vector<std::string>& truths) {
    std::vector<std::string> all = arguments;
    all.insert(all.end(), {"--top", "2", "--out", csv});
    const Ended ended = predict(all);
    REQUIRE_MESSAGE(ended.code == 0, ended.err);
    const auto rows = rows_of(csv);
    REQUIRE(rows.size() == names.size() + 1);
    for (size_t i = 0; i < names.size(); i++) {
      CHECK(rows[i + 1][0] == folder + names[i]);
      CHECK(rows[i + 1][1] == truths[i]);
      for (size_t cell = 2; cell < 6; cell++) CHECK(rows[i + 1][cell] == expected[i + 1][cell]);
    }
  };
  const std::vector<std::string> truths = {"star", "disc", "", ""};
  same({pictures}, pictures.string() + "/", truths);
  same({pictures / names[0], pictures / names[1], pictures / "other", pictures / names[3]}, pictures.string() + "/",
       truths);
  std::string plain;
  for (const auto& [name, bytes] : files) plain += tar_entry(name, bytes);
  const std::string tar = write_file(dir.path() / "plain.tar", plain + tar_end()),
                    zip = make_archive(dir.path() / "x.zip", files, "zip");
  same({tar}, tar + ":", truths);
  same({zip}, zip + ":", truths);

  const Ended list = predict({pictures / names[1], "--top", "1"});
  CHECK(list.out.starts_with((pictures / names[1]).string() + ": disc\n  "));
  CHECK(std::count(list.out.begin(), list.out.end(), '\n') == 2);
  const auto json = nlohmann::json::parse(predict({pictures, "--json"}).out);
  REQUIRE(json["predictions"].size() == 4);
  CHECK(json["predictions"][0]["true"] == "star");
  CHECK_FALSE(json["predictions"][2].contains("true"));
  CHECK(json["predictions"][0]["top"].size() == 5);
  CHECK(json["bad_images"] == 0);
}

TEST_CASE("what predict cannot read is named") {
  TempDir dir;
  const fs::path pictures = dir.path() / "pictures", csv = dir.path() / "p.csv";
  fs::create_directories(pictures / "empty");
  const auto check = [](const Ended& ended, int code, const std::string& words) {
    CHECK(ended.code == code);
    CHECK_MESSAGE(contains(ended.err, words), ended.err);
  };
  check(predict({pictures}), 3, pictures.string() + ": no image in it");
  write_file(pictures / "a.jpg", jpeg_of(Index::open(drawn_set() / "val-*.tar", {}), 0));
  write_file(pictures / "bad.jpg", "no picture");
  check(predict({pictures, "--out", csv}), 3, (pictures / "bad.jpg").string() + ": ");
  CHECK_FALSE(fs::exists(csv));
  const Ended skipped = predict({pictures, "--out", csv, "--on-bad-image", "skip"});
  check(skipped, 0, "left out " + (pictures / "bad.jpg").string() + ": ");
  CHECK(skipped.out == csv.string() + ": 1 images, 1 left out\n");
  check(predict({pictures / "bad.jpg", "--on-bad-image", "skip"}), 3, "no image could be read");
  check(predict({pictures, dir.path() / "none.jpg"}), 1, "no such file: " + (dir.path() / "none.jpg").string());
  check(predict({dir.path() / "none-*.tar"}), 3, "no file matches");
  check(predict({}), 2, "give images, folders, archives or shards");
}

TEST_CASE("names of ImageNet's classes stand for those that a checkpoint does not name") {
  TempDir dir;
  std::string tar;
  for (int i = 0; i < 8; i++)
    tar += tar_entry(fmt::format("{}.jpg", i), encode_jpeg({16, 16, std::vector<uint8_t>(768, uint8_t(30 * i))}, 90)) +
           tar_entry(fmt::format("{}.cls", i), "7");
  const fs::path shard = write_file(dir.path() / "x.tar", tar + tar_end());
  REQUIRE(train(train_flags(dir.path() / "run",
                            {{"--train", shard}, {"--classes", "1000"}, {"--steps", "60"}, {"--lr", "0.01"}}))
              .code == 0);
  const Ended ended =
      run_program("eval", {"predict", "--checkpoint", dir.path() / "run" / "last.safetensors", shard, "--top", "1"});
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  CHECK_MESSAGE(contains(ended.out, "%  n01514668\n"), ended.out);
}

TEST_CASE("confusion counts what predict predicts") {
  TempDir dir;
  const fs::path out = dir.path() / "out", csv = dir.path() / "p.csv";
  const std::string data = drawn_set() / "train-*.tar";
  REQUIRE(predict({data, "--out", csv}).code == 0);
  std::map<std::pair<std::string, std::string>, int> cells;
  const auto predictions = rows_of(csv);
  for (size_t i = 1; i < predictions.size(); i++) cells[{predictions[i][1], predictions[i][2]}]++;

  const Flags flags = eval_flags(weights(), {{"--data", data}, {"--out", out}, {"--pairs", "3"}});
  const Ended ended = eval("confusion", flags);
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  const auto matrix = rows_of(out / "confusion.csv");
  int counted = 0;
  for (size_t row = 1; row < matrix.size(); row++)
    for (size_t column = 1; column < matrix[row].size(); column++) {
      CHECK(std::stoi(matrix[row][column]) == cells[{matrix[row][0], matrix[0][column]}]);
      counted += std::stoi(matrix[row][column]);
    }
  CHECK(counted == 60);
  CHECK(matrix.size() == 11);
  int correct = 0;
  for (const auto& row : rows_of(out / "classes.csv")) {
    if (row[0] == "class") continue;
    CHECK(std::stoi(row[3]) == cells[{row[1], row[1]}]);
    CHECK(std::stod(row[4]) == doctest::Approx(std::stod(row[3]) / std::stod(row[2])).epsilon(1e-5));
    correct += std::stoi(row[3]);
  }
  CHECK(contains(ended.out, fmt::format("({}/60)", correct)));

  Flags as_json = flags;
  as_json["--json"] = "";
  const auto json = nlohmann::json::parse(eval("confusion", as_json).out);
  CHECK(json["top1"].get<double>() == doctest::Approx(correct / 60.0));
  Flags accuracy = eval_flags(weights(), {{"--data", data}, {"--json", ""}});
  CHECK(nlohmann::json::parse(eval("accuracy", accuracy).out)["top1"] == json["top1"]);
  REQUIRE(json["pairs"].size() == 3);
  int before = 60;
  for (const auto& pair : json["pairs"]) {
    const int count = pair["count"];
    CHECK(count == cells[{pair["true"], pair["predicted"]}]);
    CHECK(count <= before);
    before = count;
    CHECK(contains(ended.out, fmt::format("{} taken for {}", pair["true"].get<std::string>(),
                                          pair["predicted"].get<std::string>())));
  }

  const std::string page = read_text(out / "report.html");
  CHECK_FALSE(fetches(page));
  size_t pictures = 0;
  for (size_t at = 0; (at = page.find("src='data:image/png;base64,", at)) != page.npos; at++) pictures++;
  CHECK(pictures >= 3);
  CHECK(pictures <= 12);
}

TEST_CASE("confusion goes by names: a part of the classes in another order, and a class that the model has not") {
  TempDir dir;
  const Index index = Index::open(drawn_set() / "train-*.tar", {});
  const auto add = [&](const std::string& name, size_t i) {
    fs::create_directories(dir.path() / "some" / name);
    write_file(dir.path() / "some" / name / fmt::format("{}.jpg", i), jpeg_of(index, i));
  };
  for (size_t i = 0; i < index.size(); i++)
    if (const int label = index.label(i); label == 2 || label == 7) add(index.classes()[size_t(label)], i);
  const Flags flags = eval_flags(weights(), {{"--data", dir.path() / "some"}, {"--json", ""}});
  const Ended ended = eval("confusion", flags), counted = eval("accuracy", flags);
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  const auto json = nlohmann::json::parse(ended.out);
  CHECK(json["top1"] == nlohmann::json::parse(counted.out)["top1"]);
  REQUIRE(json["classes"].size() == 2);
  CHECK(json["classes"][0]["name"] == index.classes()[2]);
  CHECK(json["classes"][1]["class"] == 7);
  add("unicorn", 0);
  CHECK(eval("confusion", flags).code == 3);
}

TEST_SUITE_END();
