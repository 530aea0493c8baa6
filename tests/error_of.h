// The message of the Error that a call ends with, checked to be what a user should see: the right exit code, one line.
// defines: error_of
#pragma once
#include <doctest/doctest.h>
#include <string>

#include "engine/error.h"

template <class Call>
std::string error_of(ExitCode code, Call call) {
  try {
    call();
  } catch (const Error& error) {
    const std::string message = error.what();
    CHECK(int(error.code) == int(code));
    CHECK(message.find('\n') == message.npos);
    return message;
  }
  return "no error";
}

// The message has all the words.
inline bool says(const std::string& message, std::initializer_list<const char*> words) {
  bool all = true;
  for (const std::string word : words) {
    if (message.find(word) != message.npos) continue;
    MESSAGE("'" << message << "' does not say '" << word << "'");
    all = false;
  }
  return all;
}
