// The forms of attention, each defined in a file beside this one.
#include <fmt/ranges.h>

#include "engine/error.h"
#include "engine/text.h"
#include "models/attention/form.h"

const AttentionForm& plain_form();
const AttentionForm& differential_form();
const AttentionForm& laser_form();
const AttentionForm& talking_heads_form();

std::span<const AttentionForm* const> attention_forms() {
  static const AttentionForm* const forms[] = {&plain_form(), &differential_form(), &laser_form(),
                                               &talking_heads_form()};
  return forms;
}

std::vector<std::string> attention_form_names() {
  std::vector<std::string> names;
  for (const AttentionForm* form : attention_forms()) names.emplace_back(form->name());
  return names;
}

std::string attention_forms_help() {
  std::vector<std::string> texts;
  for (const AttentionForm* form : attention_forms())
    texts.push_back(form->help().empty() ? std::string(form->name())
                                         : fmt::format("{} ({})", form->name(), form->help()));
  return fmt::format("{}", fmt::join(texts, "; "));
}

const AttentionForm& form_of(const ViTConfig& c) {
  for (const AttentionForm* form : attention_forms())
    if (form->name() == c.form) return *form;
  fail(ExitCode::usage, "--attention-form: {}", unknown_name(c.form, attention_form_names()));
}
