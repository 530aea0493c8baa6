// What is done with the L x L weights of a block's heads: --attention-form. A form is a file in this folder and its
// name in forms.cpp; layer, costs, checks, help and inspection ask it and know no form.
// defines: AttentionForm, attention_forms, attention_form_names, attention_forms_help, form_of
#pragma once
#include <functional>
#include <span>
#include <string_view>

#include "models/attention/layer.h"
#include "models/learned.h"

struct FormInputs;                     // models/attention/form_inputs.h

class AttentionForm {
 public:
  virtual ~AttentionForm() = default;
  virtual std::string_view name() const = 0;
  virtual std::string_view help() const { return {}; }                    // in a few words, for --help

  virtual Tensor output(const FormInputs& in) const = 0;                  // [B,L,D], the heads side by side
  // Its own parameters beside the projections, with their initial values.
  virtual void parameters(const ViTConfig&, const std::string& /*prefix*/, const ParameterAdder&) const {}
  // Usage errors: what it cannot be together with.
  virtual void check(const ViTConfig&) const {}
  // What inspection and logs follow of a layer; parameter("attn.x") gives the values of one of the block's parameters.
  using ParameterValues = std::function<std::vector<double>(const std::string& name)>;
  virtual std::vector<LearnedNumber> numbers(int /*layer*/, const ParameterValues& /*parameter*/) const { return {}; }
  // To the reader of an inspection: what a head, S and A are where there is more to them; or empty.
  virtual std::string_view note() const { return {}; }

  virtual double multiply_adds(const ViTConfig&) const { return 0; }      // of an image and layer, beside q kᵀ and A v
  virtual int saved() const { return 0; }  // values a channel of o, kept for the backward
  virtual bool is_plain() const { return false; }  // o = A v: may be regrouped, and heads may learn
  virtual bool reads_full_values() const { return false; }                // more than products read v
  virtual bool normalises_output() const { return false; }                // a factor of the weights has no effect
};

std::span<const AttentionForm* const> attention_forms();                  // the first is the default
std::vector<std::string> attention_form_names();
std::string attention_forms_help();                                       // name (what it is); name (what it is); ...
const AttentionForm& form_of(const ViTConfig& c);                         // a usage error if c.form is none
