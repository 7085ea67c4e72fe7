"""The operators that a graph may have, by their arithmetic. A closed list: an operator in none of these is refused.

Names are those of ONNX and of ONNX Runtime, of all versions and domains; no name means different arithmetic in two
domains. A test compares them with the operators that the installed ONNX Runtime knows.

This file is the same in the function and in `model_build`: the bundle of the function and the builder are separate
units, and neither imports the other. `tests/enclave_function/test_copies.py` compares them.
"""

from __future__ import annotations

from typing import Final

_ON_INTEGERS: Final = """
    ConvInteger DequantizeWithOrder DynamicQuantizeLSTM DynamicQuantizeLinear DynamicQuantizeMatMul MatMulInteger
    MatMulInteger16 MatMulIntegerToFloat MulInteger QAttention QEmbedLayerNormalization QGemm QLinearAdd
    QLinearAveragePool QLinearConcat QLinearConv QLinearConvTranspose QLinearGlobalAveragePool QLinearLeakyRelu
    QLinearMatMul QLinearMul QLinearReduceMean QLinearSigmoid QLinearSoftmax QLinearWhere QMoE QOrderedAttention
    QOrderedGelu QOrderedLayerNormalization QOrderedLongformerAttention QOrderedMatMul QuantizeLinear
    QuantizeWithOrder ReduceSumInteger
"""
ON_INTEGERS: Final = frozenset(_ON_INTEGERS.split())
"""Operators that convert activations to integers, or compute with them."""

BY_LEVEL: Final = frozenset({"MatMulNBits", "MatMulNBitsMlp", "MatMulNBitsQLoRA", "MatMulNBitsQkv"})
"""Products with weights that are stored as integers. Their attribute `accuracy_level` states the arithmetic."""

FLOAT_LEVELS: Final = frozenset({0, 1})
"""Values of `accuracy_level` that mean float32; 0 is the default. 4 means integers of 8 bits."""

DEQUANTISE: Final = "DequantizeLinear"
"""Converts integers to floats. If they are constant, they only store weights; otherwise they are activations."""

_ON_FLOATS: Final = """
    Abs Acos Acosh Add Affine AffineGrid And ArgMax ArgMin ArrayFeatureExtractor Asin Asinh Atan Atanh Attention
    AttnLSTM AveragePool BatchNormalization BeamSearch Bernoulli BiasAdd BiasDropout BiasGelu BiasSoftmax
    BiasSplitGelu BifurcationDetector Binarizer BitCast BitShift BitmaskBiasDropout BitmaskDropout BitwiseAnd
    BitwiseNot BitwiseOr BitwiseXor BlackmanWindow BranchwiseRMSNorm CDist Cast CastLike CastMap CategoryMapper
    CausalConvWithState Ceil Celu CenterCropPad Clip Col2Im ComplexMul ComplexMulConj Compress Concat
    ConcatFromSequence Constant ConstantOfShape Conv ConvStateReplay ConvTranspose ConvTransposeWithDynamicPads Cos
    Cosh Crop CropAndResize CumProd CumSum DFT DecoderAttention DecoderMaskedMultiHeadAttention
    DecoderMaskedSelfAttention DeformConv DepthToSpace Det DictVectorizer Div Dropout DynamicSlice
    DynamicSparseAttention DynamicTimeWarping Einsum Elu EmbedLayerNormalization EngramGate Equal Erf Exp Expand
    ExpandDims EyeLike FastGelu FeatureVectorizer Flatten FlexAttention Floor FusedConv FusedGemm FusedMatMul
    FusedMatMulActivation GRU GRUUnit GatedAdd GatedDeltaNet GatedDeltaNetStateReplay GatedRMSNorm
    GatedRelativePositionBias Gather GatherBlockQuantized GatherElements GatherND GatherPacked Gelu Gemm
    GemmFastGelu GemmaRotaryEmbedding GivenTensorFill GlobalAveragePool GlobalLpPool GlobalMaxPool Greater
    GreaterOrEqual GreedySearch GridSample GroupNorm GroupNormalization HammingWindow HannWindow HardSigmoid
    HardSwish Hardmax HyperConnectionLowRankMix HyperConnectionPostMix HyperConnectionPreMix Identity If
    ImageDecoder ImageScaler Imputer InstanceNormalization Inverse Irfft IsAllFinite IsInf IsNaN LRN LSTM
    LabelEncoder LayerNormalization LeakyRelu Less LessOrEqual LinearAttention LinearAttentionGate LinearClassifier
    LinearRegressor Log LogSoftmax LongformerAttention Loop LpNormalization LpPool MRotaryEmbedding Mamba2Verify
    MatMul MatMulBnb4 MatMulPacked Max MaxPool MaxRoiPool MaxUnpool MaxpoolWithMask Mean MeanVarianceNormalization
    MelWeightMatrix MemcpyFromHost MemcpyToHost Min Mish MoE MoEGroupRouter MoEPacked Mod Mul MultiHeadAttention
    Multinomial MurmurHash3 NGramHashMapping NGramRepeatBlock Neg NegativeLogLikelihoodLoss NhwcConv NhwcFusedConv
    NhwcMaxPool NonMaxSuppression NonZero Normalizer Not OneHot OneHotEncoder Optional OptionalGetElement
    OptionalHasElement Or PRelu PackedAttention PackedMultiHeadAttention PackedSparseAttentionIndexer
    PackedSparseAttentionIndexerMerge Pad ParametricSoftplus Pow QuickGelu RMSNormRotary RMSNormalization RNN
    RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum
    ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare RegexFullMatch
    RelativePositionBias Relu RemovePadding ReorderInput ReorderOutput Reshape Resize RestorePadding ReverseSequence
    Rfft RoiAlign RotaryEmbedding Round RouterGateUpProj STFT SVMClassifier SVMRegressor SampleOp Sampling Scale
    ScaledSiLU ScaledTanh Scaler Scan Scatter ScatterElements ScatterND Selu SequenceAt SequenceConstruct
    SequenceEmpty SequenceErase SequenceInsert SequenceLength SequenceMap Shape Shrink Sigmoid Sign
    SimplifiedLayerNormalization Sin Sinh Size SkipGroupNorm SkipLayerNormalization SkipSimplifiedLayerNormalization
    Slice Softmax SoftmaxCrossEntropyLoss Softplus Softsign SpaceToDepth SparseAttention SparseAttentionIndexer
    SparseToDenseMatMul SpeculativePrefixCommit Split SplitToSequence Sqrt Squeeze StringConcat StringNormalizer
    StringSplit Sub Sum SwiGLU Swish Tan Tanh TensorScatter TfIdfVectorizer ThresholdedRelu Tile Tokenizer TopK
    TorchEmbedding Transpose TransposeMatMul TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor Trilu
    UnfoldTensor Unique Unsqueeze Upsample VarlenCausalConvWithState VarlenNGramHashMapping Where WhisperBeamSearch
    WordConvEmbedding Xor ZipMap
"""
ON_FLOATS: Final = frozenset(_ON_FLOATS.split())
"""Operators that compute in the number type of their inputs."""
