/** The list of TensorFlow.js's standard kernels that this backend runs natively. */
import {addNConfig} from './AddN.js';
import {argConfigs} from './ArgMax.js';
import {batchMatMulConfig} from './BatchMatMul.js';
import {binaryConfigs} from './binary.js';
import {bincountConfig, denseBincountConfig} from './Bincount.js';
import {castConfig} from './Cast.js';
import {concatConfig} from './Concat.js';
import {conv2DConfigs} from './Conv2D.js';
import {conv2DBackpropFilterConfig, conv2DBackpropInputConfig} from './Conv2DBackprop.js';
import {cumConfigs} from './Cumsum.js';
import {depthwiseBackpropFilterConfig, depthwiseBackpropInputConfig} from './DepthwiseBackprop.js';
import {depthwiseConv2DConfigs} from './DepthwiseConv2dNative.js';
import {diagConfig} from './Diag.js';
import {einsumConfig} from './Einsum.js';
import {expandDimsConfig} from './ExpandDims.js';
import {fillConfig, likeConfigs} from './Fill.js';
import {fusedBatchNormConfig} from './FusedBatchNorm.js';
import {fusedMatMulConfig} from './_FusedMatMul.js';
import {gatherNdConfig} from './GatherNd.js';
import {gatherV2Config} from './GatherV2.js';
import {identityConfig} from './Identity.js';
import type {NativeKernelConfig} from './kernel.js';
import {linSpaceConfig} from './LinSpace.js';
import {multinomialConfig} from './Multinomial.js';
import {oneHotConfig} from './OneHot.js';
import {packConfig} from './Pack.js';
import {mirrorPadConfig, padV2Config} from './PadV2.js';
import {avgPoolConfig, avgPoolGradConfig, maxPoolConfig, maxPoolGradConfig} from './pool.js';
import {rangeConfig} from './Range.js';
import {reduceConfigs} from './reduce.js';
import {reshapeConfig} from './Reshape.js';
import {resizeConfigs, resizeGradConfigs} from './Resize.js';
import {flipLeftRightConfig, reverseConfig} from './Reverse.js';
import {
  scatterNdConfig,
  sparseToDenseConfig,
  tensorScatterUpdateConfig,
  unsortedSegmentSumConfig,
} from './scatter.js';
import {searchSortedConfig} from './SearchSorted.js';
import {selectConfig} from './Select.js';
import {sliceConfig} from './Slice.js';
import {softmaxConfigs} from './Softmax.js';
import {batchToSpaceNDConfig, depthToSpaceConfig, spaceToBatchNDConfig} from './SpaceToBatchND.js';
import {splitVConfig} from './SplitV.js';
import {stridedSliceConfig} from './StridedSlice.js';
import {tileConfig} from './Tile.js';
import {topKConfig} from './TopK.js';
import {transposeConfig} from './Transpose.js';
import {unaryConfigs} from './unary.js';
import {unpackConfig} from './Unpack.js';

export const kernelConfigs: NativeKernelConfig[] = [
  ...unaryConfigs,
  ...binaryConfigs,
  ...reduceConfigs,
  ...argConfigs,
  ...softmaxConfigs,
  ...cumConfigs,
  ...likeConfigs,
  ...conv2DConfigs,
  ...depthwiseConv2DConfigs,
  ...resizeConfigs,
  ...resizeGradConfigs,
  addNConfig,
  avgPoolConfig,
  avgPoolGradConfig,
  batchMatMulConfig,
  batchToSpaceNDConfig,
  bincountConfig,
  castConfig,
  concatConfig,
  conv2DBackpropFilterConfig,
  conv2DBackpropInputConfig,
  denseBincountConfig,
  depthToSpaceConfig,
  depthwiseBackpropFilterConfig,
  depthwiseBackpropInputConfig,
  diagConfig,
  einsumConfig,
  expandDimsConfig,
  fillConfig,
  flipLeftRightConfig,
  fusedBatchNormConfig,
  fusedMatMulConfig,
  gatherNdConfig,
  gatherV2Config,
  identityConfig,
  linSpaceConfig,
  maxPoolConfig,
  maxPoolGradConfig,
  mirrorPadConfig,
  multinomialConfig,
  oneHotConfig,
  packConfig,
  padV2Config,
  rangeConfig,
  reshapeConfig,
  reverseConfig,
  scatterNdConfig,
  searchSortedConfig,
  selectConfig,
  sliceConfig,
  spaceToBatchNDConfig,
  sparseToDenseConfig,
  splitVConfig,
  stridedSliceConfig,
  tensorScatterUpdateConfig,
  tileConfig,
  topKConfig,
  transposeConfig,
  unpackConfig,
  unsortedSegmentSumConfig,
];
