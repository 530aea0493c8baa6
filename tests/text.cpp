// Text from outside: names of any bytes, and files as editors of any system save them.
#include "engine/console.h"
#include "engine/json.h"
#include "engine/text.h"
#include "tests/error_of.h"
#include "tests/run_program.h"
#include "tests/tar_builder.h"

namespace {
namespace fs = std::filesystem;

const std::string mark = "\xEF\xBB\xBF";

std::vector<std::string> drawn_jpegs() {
  static const fs::path folder = [] {
    fs::create_directories(common_folder() / "untarred");
    const std::string shard = drawn_set() / "train-0000.tar", folder = common_folder() / "untarred";
    REQUIRE(std::system(fmt::format("tar -xf '{}' -C '{}'", shard, folder).c_str()) == 0);
    return common_folder() / "untarred";
  }();
  std::vector<std::string> jpegs;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.path().extension() == ".jpg") jpegs.push_back(read_text(entry.path()));
  REQUIRE(jpegs.size() > 2);
  return jpegs;
}

// A folder of two classes with two pictures each.
void write_classes(const fs::path& folder, const std::string& first, const std::string& second) {
  for (const std::string& name : {first, second})
    for (int i = 0; i < 2; i++) write_file(folder / name / (std::to_string(i) + ".jpg"), drawn_jpegs()[size_t(i)]);
}
Flags short_flags(const fs::path& source, const fs::path& out) {
  return train_flags(out, {{"--train", source}, {"--steps", "2"}, {"--batch", "4"}});
}
}  // namespace

TEST_SUITE_BEGIN("text");

TEST_CASE("what is not printable stands as its bytes") {
  CHECK(printable("k\u00E4tzchen \u732B \U0001F431") == "k\u00E4tzchen \u732B \U0001F431");
  CHECK(printable("k\xE4tzchen") == "k\\xE4tzchen");
  CHECK(printable("a\nb\t\x1B[31m\x7F") == "a\\x0Ab\\x09\\x1B[31m\\x7F");
  CHECK(printable("\u009B31m\u00A0") == "\\xC2\\x9B31m\u00A0");
  CHECK(printable(std::string("\0", 1)) == "\\x00");
  for (const char* broken :
       {"\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF8", "\xE7\x8C", "\xC2"}) {
    const std::string shown = printable(broken);
    CHECK(shown.size() == 4 * std::string(broken).size());
    CHECK(printable(shown) == shown);
  }
}

TEST_CASE("JSON of names of any bytes is JSON, and has nothing a terminal obeys") {
  const nlohmann::ordered_json names = {{"k\xE4tzchen", {"a\x9B", "\u009B", "\x7F"}}, {"plain", 1}};
  for (const std::string& text : {json_text(names), json_text(nlohmann::json(names), 2)}) {
    CHECK(text.find('\x7F') == text.npos);
    CHECK(text.find('\x9B') == text.npos);
    const auto read = parse_json(text);
    REQUIRE_FALSE(read.is_discarded());
    CHECK(read["k\\xE4tzchen"][0] == "a\\x9B");
    CHECK(read["plain"] == 1);
  }
  CHECK(parse_json(json_text(nlohmann::json{{"a", "\u009B\x7F"}}))["a"] == "\u009B\x7F");
}

TEST_CASE("words of a command are quoted where a shell would take them apart") {
  for (const char* plain : {"runs/s16", "a-b_c.tar", "S/16", "a=b,c"}) CHECK(shell_word(plain) == plain);
  for (const char* text : {"", "a b", "it's", "$(x)", "train-*.tar", "{0..3}", "~", "a\nb", "ü", "\"`\\!#"}) {
    const std::string command = "printf %s " + shell_word(text);
    FILE* const shell = ::popen(command.c_str(), "r");
    REQUIRE(shell);
    char read[64] = {};
    const size_t size = std::fread(read, 1, sizeof read, shell);
    ::pclose(shell);
    CHECK(std::string(read, size) == text);
  }
}

TEST_CASE("lines, whatever ends them") {
  using Lines = std::vector<std::string>;
  CHECK(lines_of("a\r\nb\n\nc") == Lines{"a", "b", "", "c"});
  CHECK(lines_of(mark + "a\n") == Lines{"a"});
  CHECK(lines_of("").empty());
  CHECK(lines_of("\n") == Lines{""});
  TempDir dir;
  const fs::path utf16 = write_file(dir.path() / "utf16.txt", std::string("\xFF\xFE" "a\0\n\0", 6));
  CHECK(says(error_of(ExitCode::data, [&] { lines_of_file(utf16); }), {"utf16.txt:1", "UTF-16", "UTF-8"}));
  CHECK(says(error_of(ExitCode::data, [&] { lines_of_file(dir.path() / "none"); }), {"cannot open", "none"}));
  CHECK(says(error_of(ExitCode::data, [&] { lines_of_file(dir.path()); }), {"cannot read"}));
}

TEST_CASE("list files with a byte order mark and carriage returns") {
  TempDir dir;
  const std::string jpeg = drawn_jpegs()[0];
  std::string shard, validation;
  for (int i = 0; i < 4; i++) {
    shard += tar_entry(fmt::format("{}.jpg", i), jpeg);
    shard += tar_entry(fmt::format("{}.cls", i), mark + std::to_string(i % 2) + "\r\n");
    validation += tar_entry(fmt::format("ILSVRC2012_val_{:08}.JPEG", i + 1), jpeg);
  }
  write_file(dir.path() / "a.tar", shard + tar_end());
  write_file(dir.path() / "classes.txt", mark + "0\tcat\r\n1\tdog\r\n");
  write_file(dir.path() / "list.txt", mark + "a.tar\r\n");
  write_file(dir.path() / "val" / "val.tar", validation + tar_end());
  write_file(dir.path() / "val" / "val-labels.txt", mark + "1\r\n0\r\n1\r\n0\r\n");
  CHECK(train(short_flags(dir.path() / "list.txt", dir.path() / "run")).code == 0);
  CHECK(train(short_flags(dir.path() / "val" / "val.tar", dir.path() / "val-run")).code == 0);
  const std::string weights = read_text(dir.path() / "run" / "last.safetensors");
  CHECK(contains(weights, "cat"));
  CHECK_FALSE(contains(weights, mark));
  write_file(dir.path() / "restrict.txt", mark + "cat\r\n");
  const Flags restricted = {{"--data", dir.path() / "a.tar"}, {"--restrict-to", dir.path() / "restrict.txt"}};
  const Ended one = eval("accuracy", eval_flags(dir.path() / "run" / "last.safetensors", restricted));
  CHECK_FALSE(contains(one.err, "it has none for"));
  std::string config = read_text(dir.path() / "run" / "config.toml");
  for (size_t at = 0; (at = config.find('\n', at)) != config.npos; at += 2) config.insert(at, "\r");
  write_file(dir.path() / "windows.toml", mark + config);
  CHECK(train({{"--config", dir.path() / "windows.toml"}, {"--out", dir.path() / "again"}}).code == 0);
}

TEST_CASE("class names that are not UTF-8 are kept as their bytes, in checkpoints, class lists and JSON") {
  TempDir dir;
  const std::string latin = "k\xE4tzchen", kept = "k\\xE4tzchen";
  write_classes(dir.path() / "gr\xFCn", latin, "hund\x1B[31m");
  const Ended trained = train(short_flags(dir.path() / "gr\xFCn", dir.path() / "run"));
  CHECK_MESSAGE(trained.code == 0, trained.err);
  CHECK(trained.err.find('\x1B') == std::string::npos);
  CHECK(trained.err.find('\xFC') == std::string::npos);
  const SafeTensors weights(dir.path() / "run" / "last.safetensors");
  CHECK(parse_json(weights.metadata().at("class_names"))[1] == kept);
  CHECK(train({{"--resume", ""}, {"--out", dir.path() / "run"}}).code == 0);

  const Ended checked = run_program("pack", {"check", dir.path() / "gr\xFCn", "--json"});
  CHECK(checked.code == 0);
  CHECK(parse_json(checked.out)["classes"][1]["name"] == kept);
  const Ended shown = run_program("pack", {"check", dir.path() / "gr\xFCn"});
  CHECK(contains(shown.out, "gr\\xFCn"));
  CHECK(shown.out.find('\x1B') == std::string::npos);

  CHECK(run_program("pack", {"folder", dir.path() / "gr\xFCn", "--out", dir.path() / "packed"}).code == 0);
  CHECK(read_text(dir.path() / "packed" / "classes.txt") == "0\thund_[31m\n1\t" + kept + "\n");
  CHECK(train(short_flags(dir.path() / "packed" / "train-*.tar", dir.path() / "packed-run")).code == 0);
  const Ended accuracy = eval("accuracy", eval_flags(dir.path() / "run" / "last.safetensors",
                                                     {{"--data", dir.path() / "gr\xFCn"}, {"--json", ""}}));
  CHECK(accuracy.code == 0);
}

TEST_CASE("names in archives do not command the terminal") {
  TempDir dir;
  std::string shard;
  for (const char* name : {"a\x1B]0;title\a", "b\u009B31m", "c\r"})
    shard += tar_entry(std::string(name) + ".jpg", drawn_jpegs()[0]) + tar_entry(std::string(name) + ".cls", "0");
  shard += tar_entry("d\x1B[2J.jpg", "damaged") + tar_entry("d\x1B[2J.cls", "0");
  const fs::path path = write_file(dir.path() / "hostile.tar", shard + tar_end());
  for (const char* flag : {"--threads=1", "--json"}) {
    const Ended checked = run_program("pack", {"check", path, flag});
    CHECK(checked.code == 3);
    for (const std::string& text : {checked.out, checked.err})
      for (const char* command : {"\x1B", "\u009B", "\a", "\r"}) CHECK_MESSAGE(text.find(command) == text.npos, text);
  }
}

TEST_CASE("# in a quoted path of config.toml is no comment") {
  TempDir dir;
  for (const char* name : {"set #2", "it's #3", "a#b,c"}) {
    CAPTURE(name);
    const fs::path folder = dir.path() / name;
    write_classes(folder / "train", "cat", "dog");
    const Ended trained = train(short_flags(folder / "train", folder / "run"));
    REQUIRE_MESSAGE(trained.code == 0, trained.err);
    const Ended resumed = train({{"--resume", ""}, {"--out", folder / "run"}});
    CHECK_MESSAGE(resumed.code == 0, resumed.err);
    const fs::path config = folder / "run" / "config.toml";
    std::string text = read_text(config);
    text.replace(text.find("mixup=0\n"), 7, "# don't mind\nmixup = 0.5    # it's \"quoted\"");
    write_file(config, text);
    const Ended again = train({{"--config", config}, {"--out", folder / "again"}});
    CHECK_MESSAGE(again.code == 0, again.err);
    CHECK(contains(read_text(folder / "again" / "config.toml"), "mixup=0.5\n"));
    CHECK(eval("report", {{dir.path() / name, ""}}).code == 0);
  }
}

TEST_CASE("plots run no commands of a folder's name or of ~/.gnuplot") {
  if (!has_gnuplot()) return;
  TempDir dir;
  REQUIRE(train(train_flags(dir.path() / "run")).code == 0);
  const fs::path home = dir.path() / "it's; touch harm";
  write_file(home / ".gnuplot", "system \"touch '" + (dir.path() / "harm").string() + "'\"\n");
  const char* const names[] = {"HOME", "TMPDIR"};
  std::vector<std::optional<std::string>> before;
  for (const char* name : names) {
    before.push_back(std::getenv(name) ? std::optional<std::string>(std::getenv(name)) : std::nullopt);
    ::setenv(name, home.c_str(), 1);
  }
  const Ended ended = run_program("eval", {"report", dir.path() / "run", "--out", dir.path() / "report.html"});
  for (size_t i = 0; i < 2; i++)
    before[i] ? ::setenv(names[i], before[i]->c_str(), 1) : ::unsetenv(names[i]);
  CHECK_MESSAGE(ended.code == 0, ended.err);
  CHECK_FALSE(fs::exists(dir.path() / "harm"));
}

TEST_SUITE_END();
