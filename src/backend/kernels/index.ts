/** The standard kernels of TensorFlow.js that this backend runs natively. */
import {argConfigs} from './ArgMax.js';
import {batchMatMulConfig} from './BatchMatMul.js';
import {binaryConfigs} from './binary.js';
import {castConfig} from './Cast.js';
import {concatConfig} from './Concat.js';
import {cumConfigs} from './Cumsum.js';
import {expandDimsConfig} from './ExpandDims.js';
import {fillConfig, likeConfigs} from './Fill.js';
import {fusedMatMulConfig} from './_FusedMatMul.js';
import {gatherV2Config} from './GatherV2.js';
import {identityConfig} from './Identity.js';
import type {NativeKernelConfig} from './kernel.js';
import {multinomialConfig} from './Multinomial.js';
import {oneHotConfig} from './OneHot.js';
import {packConfig} from './Pack.js';
import {rangeConfig} from './Range.js';
import {reduceConfigs} from './reduce.js';
import {reshapeConfig} from './Reshape.js';
import {reverseConfig} from './Reverse.js';
import {selectConfig} from './Select.js';
import {sliceConfig} from './Slice.js';
import {softmaxConfigs} from './Softmax.js';
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
  batchMatMulConfig,
  castConfig,
  concatConfig,
  expandDimsConfig,
  fillConfig,
  fusedMatMulConfig,
  gatherV2Config,
  identityConfig,
  multinomialConfig,
  oneHotConfig,
  packConfig,
  rangeConfig,
  reshapeConfig,
  reverseConfig,
  selectConfig,
  sliceConfig,
  splitVConfig,
  stridedSliceConfig,
  tileConfig,
  topKConfig,
  transposeConfig,
  unpackConfig,
];
