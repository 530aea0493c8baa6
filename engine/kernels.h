// Every kernel body of each and rows, of rows in tiles too: from this list each device makes its table of what it can
// run.
// defines: Kernels, for_each_kernel
#pragma once
#include "engine/attention/differential.h"
#include "engine/attention/laser.h"
#include "engine/attention/linear.h"
#include "engine/attention/talking_heads.h"
#include "engine/ops/activations.h"
#include "engine/ops/mlp.h"
#include "engine/ops/add.h"
#include "engine/ops/channel_gate.h"
#include "engine/ops/label_ranks.h"
#include "engine/ops/layernorm.h"
#include "engine/ops/layerscale.h"
#include "engine/ops/loss.h"
#include "engine/ops/mixup.h"
#include "engine/ops/patches.h"
#include "engine/ops/pixels.h"
#include "engine/ops/rmsnorm.h"
#include "engine/ops/scale_shift.h"
#include "engine/ops/tokens.h"
#include "engine/optimizer.h"

template <class... Body> struct KernelList {};

template <class... Lists> struct Joined;
template <class... A, class... B, class... Rest>
struct Joined<KernelList<A...>, KernelList<B...>, Rest...> : Joined<KernelList<A..., B...>, Rest...> {};
template <class... A> struct Joined<KernelList<A...>> { using List = KernelList<A...>; };

// The hidden layer of an MLP, kept as X.
template <class H, class X>
using HiddenKernels =
    KernelList<MapForward<H, X>, AfterProduct<HiddenForward<H, X>>, AfterProduct<HiddenOfInference<H, X>>,
               AfterProduct<HiddenBackward<H, X>>, AfterProduct<HiddenBackwardInPlace<H, X>>>;
template <class H>
using ActivationKernels =
    typename Joined<HiddenKernels<H, real>, HiddenKernels<H, bf16>, KernelList<MapBackward<H>>>::List;
template <class H> using GateKernels = KernelList<GateForward<H>, GateBackward<H>>;

using Kernels = Joined<
    MlpActivations::Each<ActivationKernels, Joined>::List, GateFunctions::Each<GateKernels, Joined>::List,
    KernelList<Fill, Noise, Accumulate, Round, Widen, Pixels, MapForward<Tanh>, MapBackward<Tanh>,
               AfterProduct<AddBias>, AfterProduct<AddBiasAndResidual>, AfterProduct<StoreProduct>,
               ColumnSumsOfChunk<Values>, ColumnSumsOfChunk<RoundedValues>, ColumnSumsOfChunk<RoundingValues>,
               SumOfChunks, LayerNormForward<real>, LayerNormForward<bf16>,
               LayerNormBackward<real>, LayerNormBackward<bf16>, LayerScaleForward,
               LayerScaleBackward, ColumnSumsOfChunk<LayerScaleTerm>, PatchesForward, PatchesBackward, AddPosition,
               PrependToken, PrependTokenBackward, Repeat, MeanTokens, MeanTokensBackward, FirstToken,
               FirstTokenBackward, SoftmaxCrossEntropy, SoftmaxCrossEntropyBackward, SigmoidCrossEntropy,
               SigmoidCrossEntropyBackward, Mean, MeanBackward, LabelRanks, Mixup, AdamStep, SquaresOfChunk, RootOfSum,
               Average, Exchange>,
    KernelList<MapForward<Swish>, MapBackward<Swish>, ScaleShift, ScaleShiftBackward, ColumnSumsOfChunk<Product>, Sum,
               RmsNormForward, RmsNormBackward, ColumnSumsOfChunk<RmsNormScaleTerm>, ChannelGateForward,
               ChannelGateBackward, ColumnSumsOfChunk<ChannelGateTerm>>,
    KernelList<PointwiseFeatures<EluPlusOne>, PointwiseFeaturesBackward<EluPlusOne>, PointwiseFeatures<Relu>,
               PointwiseFeaturesBackward<Relu>, CosineFeatures, CosineFeaturesBackward, TokenSums<AbsoluteTerm>,
               TokenSums<ProductTerm>, TokenNormalised, TokenNormalisedBackward, Exponents, LargestOfHead,
               ExponentialFeatures, ExponentsBackward, ReluFeatures, ReluFeaturesBackward, AppendOne, DivideByLast,
               DivideByLastBackward, ScaleByImage>,
    KernelList<LambdaForward, LambdaBackward, Difference, DifferenceBackward, LaserLargest, LaserExponentials,
               LaserExponentialsBackward, LaserLogarithm, LaserLogarithmBackward>,
    AttentionFunctions::Named::Each<WeightsForward, KernelList>,
    AttentionFunctions::Named::Each<WeightsBackward, KernelList>>::List;

// calls f.template operator()<Body>() for each
template <class F, class... Body>
void for_each_kernel(KernelList<Body...>, F f) {
  (f.template operator()<Body>(), ...);
}
