// Every kernel body: from this list each device makes its table of what it can run.
// defines: Kernels, for_each_kernel
#pragma once
#include "engine/attention/attention.h"
#include "engine/ops/activations.h"
#include "engine/ops/linear_gelu.h"
#include "engine/ops/layernorm.h"
#include "engine/ops/layerscale.h"
#include "engine/ops/loss.h"
#include "engine/ops/mixup.h"
#include "engine/ops/patches.h"
#include "engine/ops/tokens.h"
#include "engine/optimizer.h"

template <class... Body> struct KernelList {};

template <class... Lists> struct Joined;
template <class... A, class... B, class... Rest> struct Joined<KernelList<A...>, KernelList<B...>, Rest...> : Joined<KernelList<A..., B...>, Rest...> {};
template <class... A> struct Joined<KernelList<A...>> { using List = KernelList<A...>; };

using Kernels = Joined<
    KernelList<Fill, Accumulate, Round, Widen, AddEpilogue, MapForward<GeluTanh>, MapBackward<GeluTanh>, MapForward<GeluErf>, MapBackward<GeluErf>,
               MapForward<Tanh>, MapBackward<Tanh>, AfterProduct<AddBias>, AfterProduct<BiasAndMap<GeluTanh>>, AfterProduct<BiasAndMap<GeluErf>>, AfterProduct<MapOfProduct<GeluTanh>>,
               AfterProduct<MapOfProduct<GeluErf>>, GateForward, GateBackward, ColumnSumsOfChunk<Values>, ColumnSumsOfChunk<RoundedValues>, ColumnSumsOfChunk<RoundingValues>,
               ColumnSumsOfChunk<LayerNormScaleTerm>, SumOfChunks, LayerNormForward, LayerNormForwardWithEpilogue, LayerNormBackward,
               LayerScaleForward, LayerScaleBackward, ColumnSumsOfChunk<LayerScaleTerm>, PatchesForward, PatchesBackward,
               AddPosition, PrependToken, PrependTokenBackward, Repeat, MeanTokens, MeanTokensBackward, FirstToken, FirstTokenBackward,
               SoftmaxCrossEntropy, SoftmaxCrossEntropyBackward, SigmoidCrossEntropy, SigmoidCrossEntropyBackward, Mean, MeanBackward, Mixup,
               AdamStep, SquaresOfChunk, RootOfSum, Average, Exchange>,
    AttentionFunctions::Kernels<AttentionForward, KernelList>, AttentionFunctions::Kernels<AttentionBackward, KernelList>,
    AttentionFunctions::Kernels<WeightsForward, KernelList>, AttentionFunctions::Kernels<WeightsBackward, KernelList>>::List;

// calls f.template operator()<Body>() for each
template <class F, class... Body> void for_each_kernel(KernelList<Body...>, F f) { (f.template operator()<Body>(), ...); }
