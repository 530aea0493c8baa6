// Braces, lists, folders and globs to shards; class names beside them.
#include "data/source.h"
#include "data/labels.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <thread>

#include "tests/error_of.h"
#include "tests/tar_builder.h"
#include "tests/temp_dir.h"

TEST_SUITE("source") {
  using Names = std::vector<std::string>;

  TEST_CASE("braces expand as in bash") {
    const std::pair<std::string, Names> table[] = {
        {"a", {"a"}},
        {"{0000..0003}", {"0000", "0001", "0002", "0003"}},
        {"{00000..4}", {"00000", "00001", "00002", "00003", "00004"}},
        {"{9..11}", {"9", "10", "11"}},
        {"{8..010}", {"008", "009", "010"}},
        {"{003..1}", {"003", "002", "001"}},
        {"{0..6..2}", {"0", "2", "4", "6"}},
        {"{6..0..-4}", {"6", "2"}},
        {"{-1..1}", {"-1", "0", "1"}},
        {"{7..7}", {"7"}},
        {"{a,b}-{1..2}", {"a-1", "a-2", "b-1", "b-2"}},
        {"x{a,b{1..2},}y", {"xay", "xb1y", "xb2y", "xy"}},
        {"{a}", {"{a}"}},
        {"{}", {"{}"}},
        {"{a{1,2}}", {"{a1}", "{a2}"}},
        {"{1..x}", {"{1..x}"}},
        {"d/{train,val}-{00..01}.tar", {"d/train-00.tar", "d/train-01.tar", "d/val-00.tar", "d/val-01.tar"}},
    };
    for (const auto& [pattern, expected] : table) {
      CAPTURE(pattern);
      CHECK(expand_braces(pattern) == expected);
    }
    CHECK(expand_braces("{000000..001023}").size() == 1024);
    CHECK(expand_braces("{000000..001023}").back() == "001023");
  }

  TEST_CASE("unbalanced and endless braces are refused") {
    for (const std::string pattern : {"a{0..3.tar", "a0..3}.tar", "{a,{b}", "}{"}) {
      CAPTURE(pattern);
      CHECK(contains(error_of(ExitCode::usage, [&] { expand_braces(pattern); }), "unbalanced"));
    }
    error_of(ExitCode::usage, [] { expand_braces("{0..99999999999}"); });
    const std::string many = "{0..999999}", long_name(2000, 'n');
    for (const std::string& pattern : {many + many, long_name + many, "{" + many + "," + many + "," + many + "}"}) {
      CAPTURE(pattern);
      CHECK(contains(error_of(ExitCode::usage, [&] { expand_braces(pattern); }), "names"));
    }
    CHECK(expand_braces(many).size() == 1'000'000);
    const std::string deep = std::string(1'000'000, '{') + std::string(1'000'000, '}');
    CHECK(contains(error_of(ExitCode::usage, [&] { expand_braces(deep); }), "2000000 characters"));
    CHECK(expand_braces(deep.substr(1'000'000 - 2048, 4096)).size() == 1);
    std::string lists;    // within each other, as many as fit
    for (int i = 0; i < 1365; i++) lists = "{," + lists + "}";
    CHECK(expand_braces(lists).size() == 1366);
  }

  TEST_CASE("a name of several lines, or with commands to the terminal, is told on one line, with what they are") {
    const std::string message = error_of(ExitCode::usage, [] { expand_braces("a\nb\x1b[31m\x7f\u00e9{"); });
    CHECK(contains(message, "'a\\x0Ab\\x1B[31m\\x7F\u00e9{'"));
  }

  TEST_CASE("a source is a tar, a pattern, a folder, a glob, a list, or several") {
    TempDir dir;
    const auto tar = [&](const std::string& name) { return write_file(dir.path() / name, tar_end()); };
    const auto b = tar("b-1.tar"), a = tar("a-0.tar"), deep = tar("deep/c.tar"), odd = tar("odd{1,2}.tar");
    write_file(dir.path() / "classes.txt", "");
    write_file(dir.path() / "list.txt", "# shards\n\n  deep/c.tar\r\n{b-1,a-0}.tar\n");
    const std::string root = dir.path().string() + "/";
    using Paths = std::vector<std::filesystem::path>;
    CHECK(expand_source(root + "b-1.tar") == Paths{b});
    CHECK(expand_source(root + "{b-1,a-0}.tar") == Paths{b, a});
    CHECK(expand_source(root + "b-1.tar::" + root + "deep") == Paths{b, deep});
    CHECK(expand_source(root + "deep/") == Paths{deep});
    CHECK(expand_source(dir.path().string()) == Paths{a, b, odd});
    CHECK(expand_source(root + "?-*.tar") == Paths{a, b});
    CHECK(expand_source(root + "list.txt") == Paths{deep, b, a});
    CHECK(expand_source(root + "odd{1,2}.tar") == Paths{odd});
    CHECK(expand_source(write_file(dir.path() / "noext", tar_entry("x", "")).string()).size() == 1);
  }

  TEST_CASE("a list from a pipe is read once, whole, and its names are from here on") {
    TempDir dir;
    std::string list;
    for (int i = 0; i < 200; i++)
      list += write_file(dir.path() / fmt::format("{}-{:03}.tar", std::string(100, 'n'), i), tar_end()).string() + "\n";
    const std::string pipe = (dir.path() / "pipe").string();
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    std::thread writer([&] { std::ofstream(pipe) << list; });
    CHECK(expand_source(pipe).size() == 200);
    writer.join();
  }

  TEST_CASE("what is not there is named") {
    TempDir dir;
    const std::string root = dir.path().string() + "/";
    write_file(dir.path() / "list.txt", "a.tar\n");
    write_file(dir.path() / "nested.txt", "\nlist.txt\n");
    write_file(dir.path() / "binary", std::string("a\0b", 3));
    write_file(dir.path() / "one/b.tar", tar_end());
    std::filesystem::create_directory(dir.path() / "empty");
    const auto refusal = [&](const std::string& source) {
      return error_of(ExitCode::data, [&] { expand_source(source); });
    };
    CHECK(contains(refusal(root + "{0..1}.tar"), root + "0.tar"));
    CHECK(contains(refusal(root + "*.tar"), "no file matches"));
    CHECK(contains(refusal(root + "empty"), "no *.tar"));
    CHECK(contains(refusal(root + "list.txt"), "list.txt:1: no such file: " + root + "a.tar"));
    CHECK(contains(refusal(root + "nested.txt"), "nested.txt:2: " + root + "list.txt is no tar"));
    CHECK(contains(refusal(root + "binary"), "neither a tar nor a text file"));
    CHECK(contains(refusal(root + "one::" + root + "one/./b.tar"), "twice"));
    error_of(ExitCode::usage, [&] { expand_source(""); });
    error_of(ExitCode::usage, [&] { expand_source(root + "one::"); });
  }

  TEST_CASE("class names lie beside the first shard") {
    TempDir dir;
    const std::string root = dir.path().string() + "/";
    const std::pair<const char*, const char*> sets[] = {{"cifar10-train-0000", "cifar10"},
                                                        {"imagenet1k-validation-00", "imagenet1k"},
                                                        {"imagenet-sample-0000", "imagenet-sample"},
                                                        {"pets-test", "pets"},
                                                        {"a-b", "a-b"}};
    for (const auto& [shard, set] : sets) {
      CAPTURE(shard);
      write_file(root + shard + ".tar", tar_end());
      CHECK(class_list(root + shard + ".tar").empty());
      write_file(root + set + "-classes.txt", fmt::format("1\tn02\tcat, tabby\r\n0\t{}\n", set));
      CHECK(class_list(root + shard + ".tar") == Names{set, "n02 cat, tabby"});
    }
    write_file(root + "classes.txt", "0\tall\n");
    CHECK(class_list(root + "pets-test.tar") == Names{"all"});
  }

  TEST_CASE("a bad list of class names is refused with its line") {
    TempDir dir;
    const std::string shard = write_file(dir.path() / "a.tar", tar_end()).string();
    const auto refusal = [&](const std::string& text) {
      write_file(dir.path() / "classes.txt", text);
      return error_of(ExitCode::data, [&] { class_list(shard); });
    };
    CHECK(contains(refusal("0\ta\nb\n"), "classes.txt:2"));
    CHECK(contains(refusal("0\ta\n-1\tb\n"), "classes.txt:2"));
    CHECK(contains(refusal("0\ta\n0\tb\n"), "label 0 appears twice"));
    CHECK(contains(refusal("0\ta\n2\tb\n"), "classes.txt:2: label 2, expected 0 to 1"));
    CHECK(contains(refusal("10000000\ta\n"), "classes.txt:1: label 10000000, expected 0 to 0"));
  }
}
