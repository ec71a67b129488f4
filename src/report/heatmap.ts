/** `heatmap`: draws a layer map and the divergences behind it, as in Figure 2 of the SpecAttn paper. */
import type {Spec} from 'vega';

import {draw} from './draw.js';
import {standalone, type Svg} from './svg.js';

/**
 * Draws a heatmap of the divergences between the attention of every verifier layer and every draft layer, with the
 * cells of the layer map boxed. Vega draws it, without a browser.
 *
 * @param divergence [verifier layers][draft layers], KL(verifier ‖ draft) in nats
 * @param layers the draft layer that each verifier layer is mapped to
 * @returns SVG text
 * @throws Error where the rows differ in length, there are none, or a layer is out of range
 */
export async function heatmap(divergence: number[][], layers: number[]): Promise<string> {
  return standalone(await drawHeatmap(divergence, layers));
}

/** Draws the same for a page, which gives it ink and ground, or for a narrow window: less wide, and without its title. */
export async function drawHeatmap(
  divergence: number[][],
  layers: number[],
  target: 'page' | 'narrow' = 'page',
): Promise<Svg> {
  checkShapes(divergence, layers);
  return draw(heatmapSpec(divergence, layers, target === 'narrow'), {
    title: 'KL(verifier ‖ draft) of the attention of each pair of layers',
    description: `Mean divergence in nats of ${divergence.length} verifier layers (rows) from ${divergence[0].length} draft layers (columns). Boxed, verifier layer by verifier layer: draft layers ${layers.join(', ')}.`,
  });
}

function checkShapes(divergence: number[][], layers: number[]): void {
  const columns = divergence[0]?.length ?? 0;
  if (columns === 0) throw new Error('[heatmap] divergence must have at least one row and one column');
  const ragged = divergence.findIndex((row) => row.length !== columns);
  if (ragged >= 0) {
    throw new Error(
      `[heatmap] row ${ragged} of divergence must have ${columns} columns but has ${divergence[ragged].length}`,
    );
  }
  if (layers.length !== divergence.length) {
    throw new Error(
      `[heatmap] layers must name a draft layer for each of ${divergence.length} verifier layers but has ${layers.length}`,
    );
  }
  const outside = layers.find((layer) => !(Number.isInteger(layer) && layer >= 0 && layer < columns));
  if (outside !== undefined) {
    throw new Error(`[heatmap] layers must be draft layers 0 to ${columns - 1} but one is ${outside}`);
  }
}

/** Pixels for the cells in a narrow window. */
const NARROW = 270;

function heatmapSpec(divergence: number[][], layers: number[], isNarrow: boolean): Spec {
  const cells = divergence.flatMap((row, verifier) =>
    row.map((kl, draft) => ({verifier, draft, kl, chosen: layers[verifier] === draft})),
  );
  const rows = divergence.length;
  const columns = divergence[0].length;
  // The numbers are written into the cells where there is room for them.
  const most = isNarrow ? NARROW / columns : Math.max(20, 720 / Math.max(rows, columns));
  const side = Math.max(4, Math.min(52, Math.floor(most)));
  const inset = side < 16 ? 1 : 2;
  const cell = {
    x: {scale: 'draft', field: 'draft'},
    y: {scale: 'verifier', field: 'verifier'},
    width: {scale: 'draft', band: 1},
    height: {scale: 'verifier', band: 1},
  };
  return {
    $schema: 'https://vega.github.io/schema/vega/v6.json',
    padding: isNarrow ? 4 : 12,
    width: columns * side,
    height: rows * side,
    ...(!isNarrow && {
      title: {
        text: 'KL(verifier ‖ draft) of the attention of each pair of layers',
        subtitle: 'boxed: the draft layer whose attention chooses the keys of the verifier layer',
        anchor: 'start',
        frame: 'bounds',
        offset: 12,
      },
    }),
    data: [
      {name: 'cells', values: cells},
      {name: 'chosen', source: 'cells', transform: [{type: 'filter', expr: 'datum.chosen'}]},
    ],
    scales: [
      {name: 'draft', type: 'band', domain: {data: 'cells', field: 'draft'}, range: 'width'},
      {name: 'verifier', type: 'band', domain: {data: 'cells', field: 'verifier'}, range: 'height'},
      {
        name: 'kl',
        type: 'linear',
        domain: {data: 'cells', field: 'kl'},
        range: {scheme: 'viridis'},
        reverse: true,
      },
    ],
    axes: [
      {
        orient: 'bottom',
        scale: 'draft',
        title: 'draft layer',
        domain: false,
        ticks: false,
        labelOverlap: true,
      },
      {
        orient: 'left',
        scale: 'verifier',
        title: 'verifier layer',
        domain: false,
        ticks: false,
        labelOverlap: true,
      },
    ],
    legends: [
      isNarrow
        ? {fill: 'kl', title: 'KL (nats)', gradientLength: 200, orient: 'bottom', direction: 'horizontal'}
        : {fill: 'kl', title: 'KL (nats)', gradientLength: Math.min(200, rows * side)},
    ],
    marks: [
      {type: 'rect', from: {data: 'cells'}, encode: {enter: {...cell, fill: {scale: 'kl', field: 'kl'}}}},
      ...(side >= 36 ? [label()] : []),
      {
        type: 'rect',
        name: 'map',
        from: {data: 'chosen'},
        // The boxes are inset, so that those of neighbouring rows stay apart.
        encode: {
          enter: {
            x: {scale: 'draft', field: 'draft', offset: inset},
            y: {scale: 'verifier', field: 'verifier', offset: inset},
            width: {scale: 'draft', band: 1, offset: -2 * inset},
            height: {scale: 'verifier', band: 1, offset: -2 * inset},
            stroke: {value: '#e8261c'},
            strokeWidth: {value: side < 16 ? 1.5 : 3},
          },
        },
      },
    ],
  };
}

/** Writes each cell's number, in white on the dark colours of large divergences and in black on light colours. */
function label(): NonNullable<Spec['marks']>[number] {
  return {
    type: 'text',
    from: {data: 'cells'},
    encode: {
      enter: {
        x: {scale: 'draft', field: 'draft', band: 0.5},
        y: {scale: 'verifier', field: 'verifier', band: 0.5},
        align: {value: 'center'},
        baseline: {value: 'middle'},
        fontSize: {value: 11},
        text: {signal: "format(datum.kl, '.2f')"},
        fill: {signal: "contrast('white', scale('kl', datum.kl)) > 3 ? 'white' : 'black'"},
      },
    },
  };
}
